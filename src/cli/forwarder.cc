// SPDX-License-Identifier: Apache-2.0
#include "cli/forwarder.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/forwarder_parts.h"

namespace understudy::cli {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr int kReadsPerEvent = 8;  // so that one busy connection does not starve the others
constexpr int kEventsPerRun = 64;
constexpr int kAcceptsPerRun = 16;

// epoll tags: a listener's index with the top bit set, or a connection's number and side.
constexpr uint64_t kListenerTag = 1ULL << 63;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Descriptor TcpSocket() {
  return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

void SetNoDelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// Closing then sends RST instead of FIN.
void ResetOnClose(int fd) {
  const linger hard = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

}  // namespace

std::string_view Name(LinkMode mode) {
  switch (mode) {
    case LinkMode::kOpen: return "open";
    case LinkMode::kCut: return "cut";
    case LinkMode::kHalfOpen: return "half-open";
  }
  return "open";
}

Forwarder::~Forwarder() = default;

base::Result<std::unique_ptr<Forwarder>> Forwarder::Create(const std::vector<LinkTarget>& targets) {
  std::unique_ptr<Forwarder> forwarder(new Forwarder());
  forwarder->epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!forwarder->epoll_.valid()) {
    return base::IoError(fmt::format("epoll_create1: {}", std::strerror(errno)));
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    RETURN_IF_ERROR(forwarder->AddListener(targets[i], i));
  }
  return forwarder;
}

base::Status Forwarder::AddListener(const LinkTarget& target, size_t index) {
  auto listener = std::make_unique<Listener>();
  listener->from = target.from;
  listener->to = target.to;
  listener->to_port = target.to_port;
  listener->socket = TcpSocket();
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kListenerTag | index}};
  const int fd = listener->socket.get();
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd, 64) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return base::IoError(fmt::format("cannot listen on 127.0.0.1 for the link from {} to {}: {}",
                                     target.from, target.to, std::strerror(errno)));
  }
  listener->port = ntohs(address.sin_port);
  DirectionOf(target.from, target.to);
  DirectionOf(target.to, target.from);
  listeners_.push_back(std::move(listener));
  return {};
}

Forwarder::Direction& Forwarder::DirectionOf(const std::string& from, const std::string& to) {
  return directions_[{from, to}];
}

std::optional<base::SteadyTime> Forwarder::NextDue() const {
  std::optional<base::SteadyTime> next;
  for (const auto& [number, connection] : connections_) {
    for (const Pipe& pipe : connection->pipes) {
      if (pipe.due && (!next || *pipe.due < *next)) next = pipe.due;
    }
  }
  return next;
}

void Forwarder::RunOnce(base::SteadyTime now) {
  std::array<epoll_event, kEventsPerRun> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerRun, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    const uint64_t tag = event.data.u64;
    if ((tag & kListenerTag) != 0) {
      Accept(*listeners_[tag & ~kListenerTag]);
      continue;
    }
    const auto found = connections_.find(tag >> 1);
    if (found != connections_.end() && !found->second->dead) {
      Handle(*found->second, tag & 1, event.events, now);
    }
  }
  for (const auto& [number, connection] : connections_) {
    for (size_t side = 0; side < 2; ++side) {
      const std::optional<base::SteadyTime> due = connection->pipes[side].due;
      if (!connection->dead && due && *due <= now) Send(*connection, side, now);
    }
    if (!connection->dead) Watch(*connection);
  }
  RemoveDead();
}

void Forwarder::Accept(Listener& listener) {
  for (int i = 0; i < kAcceptsPerRun; ++i) {
    Descriptor client(
        ::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid()) return;
    Direction& there = DirectionOf(listener.from, listener.to);
    if (there.mode == LinkMode::kCut || connections_.size() >= kConnectionsMax) {
      ResetOnClose(client.get());
      continue;
    }
    SetNoDelay(client.get());
    auto connection = std::make_unique<Connection>();
    connection->number = next_connection_++;
    connection->listener = &listener;
    connection->pipes[0].direction = &there;
    connection->pipes[1].direction = &DirectionOf(listener.to, listener.from);
    connection->sockets[0] = std::move(client);
    if (there.mode == LinkMode::kOpen) {
      connection->sockets[1] = TcpSocket();
      const int fd = connection->sockets[1].get();
      const sockaddr_in target = Loopback(listener.to_port);
      const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof(target));
      if (result != 0 && errno != EINPROGRESS) {
        ResetOnClose(connection->sockets[0].get());
        continue;
      }
      SetNoDelay(fd);
    }
    Watch(*connection);
    connections_.emplace(connection->number, std::move(connection));
  }
}

void Forwarder::Handle(Connection& connection, size_t side, uint32_t events, base::SteadyTime now) {
  if (side == 1 && connection.connecting && !FinishConnect(connection)) return;
  if ((events & EPOLLIN) != 0) {
    Receive(connection, side, now);
  } else if ((events & EPOLLERR) != 0) {
    Broken(connection, side);
  }
  if (connection.dead) return;
  if ((events & EPOLLOUT) != 0) {
    connection.pipes[1 - side].blocked = false;
    Send(connection, 1 - side, now);
  }
}

bool Forwarder::FinishConnect(Connection& connection) {
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(connection.sockets[1].get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    Reset(connection);
    return false;
  }
  connection.connecting = false;
  return true;
}

void Forwarder::Receive(Connection& connection, size_t side, base::SteadyTime now) {
  Pipe& pipe = connection.pipes[side];
  Direction& direction = *pipe.direction;
  for (int i = 0; i < kReadsPerEvent && pipe.queued < kQueuedBytesMax && !pipe.ended; ++i) {
    std::vector<uint8_t> bytes(kReadBytes);
    const ssize_t got = ::recv(connection.sockets[side].get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got < 0) return Broken(connection, side);
    if (got == 0) {
      pipe.ended = true;
      // Swallowed like everything else: the other side is not told.
      if (direction.mode == LinkMode::kHalfOpen) {
        connection.lost_bytes = true;
        return;
      }
      break;
    }
    bytes.resize(static_cast<size_t>(got));
    if (direction.mode == LinkMode::kHalfOpen) {
      direction.bytes_swallowed += bytes.size();
      connection.lost_bytes = true;
      continue;
    }
    if (direction.free() && pipe.queue.empty() && !connection.connecting &&
        SendNow(connection, side, bytes)) {
      if (connection.dead) return;
      continue;
    }
    pipe.queued += bytes.size();
    pipe.queue.push_back({.bytes = std::move(bytes), .sent = 0, .due = now + direction.delay});
  }
  Send(connection, side, now);
}

// The fast path of a link without limits. True when all bytes are gone; else `bytes` is the rest.
bool Forwarder::SendNow(Connection& connection, size_t side, std::vector<uint8_t>& bytes) {
  const ssize_t sent =
      ::send(connection.sockets[1 - side].get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    Reset(connection);
    return true;
  }
  if (sent <= 0) return false;
  connection.pipes[side].direction->Spend(static_cast<size_t>(sent));
  bytes.erase(bytes.begin(), bytes.begin() + sent);
  return bytes.empty();
}

void Forwarder::Send(Connection& connection, size_t side, base::SteadyTime now) {
  Pipe& pipe = connection.pipes[side];
  Direction& direction = *pipe.direction;
  pipe.due.reset();
  if (connection.connecting || direction.mode == LinkMode::kHalfOpen) return;
  const int fd = connection.sockets[1 - side].get();
  while (!pipe.queue.empty() && !pipe.blocked) {
    Pipe::Chunk& chunk = pipe.queue.front();
    if (chunk.due > now) {
      pipe.due = chunk.due;
      return;
    }
    const size_t length = std::min(chunk.bytes.size() - chunk.sent, direction.Allowed(now));
    if (length == 0) {
      // When half a burst's worth of tokens is there again: few wake-ups, and no token is wasted.
      const double wait = (direction.Burst() / 2 - direction.tokens) /
                          static_cast<double>(direction.bytes_per_second);
      pipe.due = now + base::Duration(static_cast<int64_t>(wait * 1e9) + 1);
      return;
    }
    const ssize_t sent = ::send(fd, chunk.bytes.data() + chunk.sent, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return Reset(connection);
    if (sent <= 0) {
      pipe.blocked = true;
      return;
    }
    direction.Spend(static_cast<size_t>(sent));
    pipe.queued -= static_cast<size_t>(sent);
    chunk.sent += static_cast<size_t>(sent);
    if (chunk.sent == chunk.bytes.size()) pipe.queue.pop_front();
  }
  if (pipe.queue.empty() && pipe.ended && !pipe.closed) {
    pipe.closed = true;
    ::shutdown(fd, SHUT_WR);
    if (connection.pipes[1 - side].closed) connection.dead = true;  // both ways ended in order
  }
}

void Forwarder::Watch(Connection& connection) {
  for (size_t side = 0; side < 2; ++side) {
    if (!connection.sockets[side].valid()) continue;
    const Pipe& out = connection.pipes[side];
    const Pipe& in = connection.pipes[1 - side];
    uint32_t wanted = 0;
    if (!out.ended && out.queued < kQueuedBytesMax) wanted |= EPOLLIN;
    if (in.blocked || (side == 1 && connection.connecting)) wanted |= EPOLLOUT;
    if (wanted == connection.watched[side]) continue;
    // With no interest the socket leaves epoll: a hang-up would be reported for ever otherwise.
    const int operation = wanted == 0                     ? EPOLL_CTL_DEL
                          : connection.watched[side] == 0 ? EPOLL_CTL_ADD
                                                          : EPOLL_CTL_MOD;
    epoll_event event{.events = wanted, .data = {.u64 = connection.number << 1 | side}};
    ::epoll_ctl(epoll_.get(), operation, connection.sockets[side].get(), &event);
    connection.watched[side] = wanted;
  }
}

// One end went away with a reset; a half-open link does not tell the other.
void Forwarder::Broken(Connection& connection, size_t side) {
  if (connection.pipes[side].direction->mode != LinkMode::kHalfOpen) return Reset(connection);
  connection.lost_bytes = true;
  connection.pipes[side].ended = true;
  connection.pipes[1 - side].blocked = false;
}

void Forwarder::Reset(Connection& connection) {
  for (const Descriptor& socket : connection.sockets) {
    if (socket.valid()) ResetOnClose(socket.get());
  }
  for (Pipe& pipe : connection.pipes) pipe.due.reset();
  connection.dead = true;
}

void Forwarder::RemoveDead() {
  std::erase_if(connections_, [](const auto& entry) { return entry.second->dead; });
}

base::Status Forwarder::SetMode(const std::string& a, const std::string& b, LinkMode mode) {
  if (!directions_.contains({a, b})) {
    return base::NotFound(fmt::format("there is no link between {} and {}", a, b));
  }
  DirectionOf(a, b).mode = mode;
  DirectionOf(b, a).mode = mode;
  for (const auto& [number, connection] : connections_) {
    const Listener& listener = *connection->listener;
    const bool ours =
        (listener.from == a && listener.to == b) || (listener.from == b && listener.to == a);
    if (!ours) continue;
    if (mode == LinkMode::kHalfOpen) {
      for (Pipe& pipe : connection->pipes) {  // bytes under way are lost too
        connection->lost_bytes = connection->lost_bytes || pipe.queued > 0;
        pipe.direction->bytes_swallowed += pipe.queued;
        pipe.queue.clear();
        pipe.queued = 0;
        pipe.due.reset();
      }
    }
    const bool broken = connection->lost_bytes || !connection->sockets[1].valid();
    if (mode == LinkMode::kCut || (mode == LinkMode::kOpen && broken)) Reset(*connection);
  }
  RemoveDead();
  return {};
}

base::Status Forwarder::SetLimits(const std::string& a, const std::string& b, base::Duration delay,
                                  uint64_t bytes_per_second) {
  if (!directions_.contains({a, b})) {
    return base::NotFound(fmt::format("there is no link between {} and {}", a, b));
  }
  for (Direction* direction : {&DirectionOf(a, b), &DirectionOf(b, a)}) {
    direction->delay = delay;
    direction->bytes_per_second = bytes_per_second;
    direction->refilled.reset();
  }
  return {};
}

std::vector<LinkReport> Forwarder::Report() const {
  std::vector<LinkReport> reports;
  for (const auto& listener : listeners_) {
    const Direction& direction = directions_.at({listener->from, listener->to});
    LinkReport& report = reports.emplace_back();
    report.from = listener->from;
    report.to = listener->to;
    report.port = listener->port;
    report.mode = direction.mode;
    report.delay = direction.delay;
    report.bytes_per_second = direction.bytes_per_second;
    report.bytes_passed = direction.bytes_passed;
    report.bytes_swallowed = direction.bytes_swallowed;
    for (const auto& [number, connection] : connections_) {
      report.connections += connection->listener == listener.get() ? 1 : 0;
    }
  }
  return reports;
}

}  // namespace understudy::cli
