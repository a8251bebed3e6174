// SPDX-License-Identifier: Apache-2.0
// Forwarder: the network of a lab. A TCP proxy on loopback with one listening port for every
// ordered pair of servers, through which all their connections pass, so that a link can be cut,
// slowed or half-opened without root.
//
// A link is an unordered pair; its trouble hits the connections that either side opened:
//   cut        existing connections are reset, new ones are accepted and reset at once
//   half-open  bytes are swallowed both ways and nobody is told, as when a middlebox forgets a
//   flow;
//              new connections are accepted and get no answer. Healing resets every connection that
//              lost bytes, because its stream can no longer be right.
//   slow       every byte arrives `delay` later, and at most `bytes_per_second` pass each way
//   (shared
//              by all connections of that direction)
// One thread, epoll, no blocking; memory is bounded by kConnectionsMax and kQueuedBytesMax.
// Threading: confined to one thread. It owns its sockets.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/lab_process.h"

namespace understudy::cli {

enum class LinkMode { kOpen, kCut, kHalfOpen };
std::string_view Name(LinkMode mode);  // "open", "cut", "half-open"

struct LinkTarget {
  std::string from;
  std::string to;
  uint16_t to_port = 0;  // where `to` listens on 127.0.0.1
};

// What the link is set to and what has passed, for one ordered pair.
struct LinkReport {
  std::string from;
  std::string to;
  uint16_t port = 0;
  LinkMode mode = LinkMode::kOpen;
  base::Duration delay{0};
  uint64_t bytes_per_second = 0;  // 0: no limit
  size_t connections = 0;         // that `from` opened
  uint64_t bytes_passed = 0;      // from `from` to `to`, whoever opened the connection
  uint64_t bytes_swallowed = 0;
};

class Forwarder {
 public:
  static constexpr size_t kConnectionsMax = 512;
  static constexpr size_t kQueuedBytesMax = 4 << 20;  // each way of each connection

  static base::Result<std::unique_ptr<Forwarder>> Create(const std::vector<LinkTarget>& targets);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Becomes readable when RunOnce has something to do.
  int wait_descriptor() const { return epoll_.get(); }
  // When RunOnce must be called even if nothing becomes readable; nothing while no byte waits.
  std::optional<base::SteadyTime> NextDue() const;
  // Moves what can be moved now, without waiting.
  void RunOnce(base::SteadyTime now);

  // kNotFound when there is no link between `a` and `b`, in either order.
  base::Status SetMode(const std::string& a, const std::string& b, LinkMode mode);
  base::Status SetLimits(const std::string& a, const std::string& b, base::Duration delay,
                         uint64_t bytes_per_second);
  std::vector<LinkReport> Report() const;

 private:
  struct Direction;   // bytes from one server to another: limits and counters
  struct Listener;    // the port of an ordered pair
  struct Pipe;        // one way of one connection
  struct Connection;  // two sockets and two pipes

  Forwarder() = default;
  base::Status AddListener(const LinkTarget& target, size_t index);
  Direction& DirectionOf(const std::string& from, const std::string& to);

  void Accept(Listener& listener);
  void Handle(Connection& connection, size_t side, uint32_t events, base::SteadyTime now);
  bool FinishConnect(Connection& connection);
  void Receive(Connection& connection, size_t side, base::SteadyTime now);
  bool SendNow(Connection& connection, size_t side, std::vector<uint8_t>& bytes);
  void Send(Connection& connection, size_t side, base::SteadyTime now);
  void Watch(Connection& connection);
  void Broken(Connection& connection, size_t side);
  void Reset(Connection& connection);  // both ends see a reset; it is removed at the end of RunOnce
  void RemoveDead();

  Descriptor epoll_;
  std::map<std::pair<std::string, std::string>, Direction> directions_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t next_connection_ = 1;
};

}  // namespace understudy::cli
