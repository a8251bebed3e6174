// SPDX-License-Identifier: Apache-2.0
#include "web/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "web/http_server.h"

namespace understudy::web {
namespace {

// How much, and for how long, is read of what a peer sends after our last answer: a close with
// unread bytes would reset the connection, and the answer might be lost.
constexpr size_t kLingerBytesMax = 64 << 10;
constexpr base::Duration kLingerLimit = std::chrono::milliseconds(100);

}  // namespace

Connection::Connection(int socket) : socket_(socket) {
  const int on = 1;
  // Neither can fail on an accepted TCP socket in a way that matters: a slower or inherited socket.
  (void)::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  (void)::fcntl(socket_, F_SETFD, FD_CLOEXEC);
  (void)::fcntl(socket_, F_SETFL, O_NONBLOCK);
}

Connection::~Connection() {
  if (socket_ < 0) return;
  if (!peer_gone_) Linger();
  ::close(socket_);
}

void Connection::Linger() {
  ::shutdown(socket_, SHUT_WR);
  const auto end = Clock::now() + kLingerLimit;
  for (size_t read = 0; read < kLingerBytesMax && WaitFor(POLLIN, end);) {
    const ssize_t length = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    if (length <= 0) return;
    read += static_cast<size_t>(length);
  }
}

bool Connection::WaitFor(short events, Clock::time_point end) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd wait = {.fd = socket_, .events = events, .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 60'000)));
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool Connection::Begin(base::Duration idle, const std::function<bool()>& hurry) {
  const auto end = Clock::now() + idle;
  while (begin_ == end_) {
    const auto now = Clock::now();
    if (WaitFor(POLLIN, std::min(end, now + kSlice))) break;
    if (now >= end || hurry()) return false;
  }
  left_bytes_ = kRequestBytesMax;
  deadline_ = Clock::now() + kRequestLimit;
  return true;
}

long Connection::Read(char* to, size_t size) {
  if (left_bytes_ == 0) too_long_ = true;
  if (too_long_) return -1;
  if (begin_ == end_) {
    if (!WaitFor(POLLIN, deadline_)) return -1;
    const ssize_t length = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    if (length <= 0) {
      peer_gone_ = length < 0;
      return length;
    }
    begin_ = 0;
    end_ = static_cast<size_t>(length);
  }
  const size_t length = std::min({size, end_ - begin_, left_bytes_});
  std::memcpy(to, buffer_.data() + begin_, length);
  begin_ += length;
  left_bytes_ -= length;
  return static_cast<long>(length);
}

long Connection::Write(const char* from, size_t size) {
  if (!WaitFor(POLLOUT, deadline_)) return -1;
  const ssize_t length = ::send(socket_, from, size, MSG_NOSIGNAL);
  if (length < 0 && errno != EAGAIN && errno != EINTR) peer_gone_ = true;
  return length;
}

bool Connection::WriteAll(std::string_view text) {
  while (!text.empty()) {
    const long length = Write(text.data(), text.size());
    if (length < 0) return false;
    text.remove_prefix(static_cast<size_t>(length));
  }
  return true;
}

bool Connection::Refuse(std::string_view text) {
  const bool sent = WriteAll(text);  // the deadline has passed, so it does not wait
  ::shutdown(socket_, SHUT_WR);
  peer_gone_ = true;
  return sent;
}

}  // namespace understudy::web
