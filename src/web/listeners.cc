// SPDX-License-Identifier: Apache-2.0
#include "web/listeners.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/thread_name.h"

namespace understudy::web {

Listeners::Listeners(const StatusSource& source, LagHistory& history)
    : source_(source), history_(history), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread([this] { Run(); });
}

void Listeners::Stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  Wake();
  thread_.join();
  if (wake_ >= 0) ::close(wake_);
}

// Without one (no descriptors are left) the thread finds out a little later.
void Listeners::Wake() const {
  const uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof(one));
}

void Listeners::Take(int socket, std::string last_event_id) {
  if (++count_ > kListenersMax || stopping_) {
    --count_;
    ::close(socket);
    return;
  }
  {
    base::MutexLock lock(mutex_);
    Listener& listener = new_.emplace_back();
    listener.socket = socket;
    listener.last_event_id = std::move(last_event_id);
  }
  Wake();
}

void Listeners::Adopt() {
  base::MutexLock lock(mutex_);
  if (!new_.empty()) next_frame_ = {};
  for (Listener& listener : new_) listeners_.push_back(std::move(listener));
  new_.clear();
}

void Listeners::Run() {
  base::NameThisThread("web-stream");
  Clock::time_point next_note{};
  while (!stopping_) {
    const Clock::time_point now = Clock::now();
    Adopt();
    const bool note = now >= next_note;
    const bool tell = !listeners_.empty() && now >= next_frame_;
    if (note || tell) {
      const Snapshot snapshot = source_.Take();
      if (note) {
        history_.Note(snapshot, now.time_since_epoch());
        next_note = now + LagHistory::kInterval;
      }
      if (tell) Tell(snapshot, now);
    }
    LetGo();
    WaitUntil(listeners_.empty() ? next_note : std::min(next_note, next_frame_));
  }
  Adopt();
  for (Listener& listener : listeners_) listener.gone = true;
  LetGo();
}

void Listeners::Tell(const Snapshot& snapshot, Clock::time_point now) {
  const std::string frame = stream_.Next(snapshot);
  for (Listener& listener : listeners_) {
    if (listener.waiting.empty()) listener.moved = now;
    listener.waiting +=
        std::exchange(listener.greeted, true) ? frame : stream_.Since(listener.last_event_id);
    if (listener.waiting.size() > kListenerBytesMax) listener.gone = true;
    Send(listener, now);
  }
  next_frame_ = now + kStreamInterval;
}

void Listeners::Send(Listener& listener, Clock::time_point now) {
  if (listener.gone || listener.waiting.empty()) return;
  const ssize_t sent = ::send(listener.socket, listener.waiting.data(), listener.waiting.size(),
                              MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) {
    listener.waiting.erase(0, static_cast<size_t>(sent));
    listener.moved = now;
  } else if (errno != EAGAIN && errno != EINTR) {
    listener.gone = true;
  }
  if (now - listener.moved > kStallLimit) listener.gone = true;
}

void Listeners::WaitUntil(Clock::time_point end) {
  std::vector<pollfd> waits = {{.fd = wake_, .events = POLLIN, .revents = 0}};
  for (const Listener& listener : listeners_) {
    const short events = listener.waiting.empty() ? POLLIN : POLLIN | POLLOUT;
    waits.push_back({.fd = listener.socket, .events = events, .revents = 0});
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  // Without an eventfd, often enough.
  const int limit = static_cast<int>(std::clamp<int64_t>(left, 0, wake_ < 0 ? 200 : 5000));
  if (::poll(waits.data(), waits.size(), limit) <= 0) return;
  uint64_t woken = 0;
  if (waits[0].revents != 0) (void)!::read(wake_, &woken, sizeof(woken));
  const Clock::time_point now = Clock::now();
  for (size_t i = 0; i < listeners_.size(); ++i) {
    const short happened = waits[i + 1].revents;
    if ((happened & ~POLLOUT) != 0) listeners_[i].gone = true;  // it left, or says more
    if ((happened & POLLOUT) != 0) Send(listeners_[i], now);
  }
}

void Listeners::LetGo() {
  for (const Listener& listener : listeners_) {
    if (listener.gone) ::close(listener.socket);
  }
  count_ -= std::erase_if(listeners_, [](const Listener& listener) { return listener.gone; });
}

}  // namespace understudy::web
