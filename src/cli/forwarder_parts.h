// SPDX-License-Identifier: Apache-2.0
// What a Forwarder is made of; included by forwarder.cc alone.
// Threading: confined to the forwarder's thread.
#pragma once

#include <algorithm>

#include "cli/forwarder.h"

namespace understudy::cli {

struct Forwarder::Direction {
  LinkMode mode = LinkMode::kOpen;
  base::Duration delay{0};
  uint64_t bytes_per_second = 0;
  double tokens = 0;  // bytes that may pass now, while there is a limit
  std::optional<base::SteadyTime> refilled;
  uint64_t bytes_passed = 0;
  uint64_t bytes_swallowed = 0;

  // A limited link may send this much at once after a pause, and never waits for less.
  static constexpr double kBurstSeconds = 0.02;
  static constexpr double kBurstBytesMin = 1500;

  bool free() const { return delay.count() == 0 && bytes_per_second == 0; }
  double Burst() const {
    return std::max(kBurstBytesMin, static_cast<double>(bytes_per_second) * kBurstSeconds);
  }
  size_t Allowed(base::SteadyTime now) {
    if (bytes_per_second == 0) return SIZE_MAX;
    if (refilled) {
      const double seconds = static_cast<double>((now - *refilled).count()) / 1e9;
      tokens += seconds * static_cast<double>(bytes_per_second);
    } else {
      tokens = Burst();
    }
    tokens = std::min(tokens, Burst());
    refilled = now;
    return tokens < 1 ? 0 : static_cast<size_t>(tokens);
  }
  void Spend(size_t bytes) {
    bytes_passed += bytes;
    if (bytes_per_second != 0) tokens -= static_cast<double>(bytes);
  }
};

struct Forwarder::Listener {
  std::string from;
  std::string to;
  uint16_t port = 0;
  uint16_t to_port = 0;
  Descriptor socket;
};

struct Forwarder::Pipe {
  struct Chunk {
    std::vector<uint8_t> bytes;
    size_t sent = 0;
    base::SteadyTime due;
  };
  Direction* direction = nullptr;
  std::deque<Chunk> queue;
  size_t queued = 0;
  bool ended = false;                   // the sender will send no more
  bool closed = false;                  // and the receiver has been told
  bool blocked = false;                 // the receiver's socket is full
  std::optional<base::SteadyTime> due;  // when the front may move on
};

// Side 0 is the one that opened the connection, side 1 the target. pipes[i] carries what side i
// sends.
struct Forwarder::Connection {
  uint64_t number = 0;
  const Listener* listener = nullptr;
  std::array<Descriptor, 2> sockets;
  std::array<Pipe, 2> pipes;
  std::array<uint32_t, 2> watched{};  // epoll interest; 0: not in epoll
  bool connecting = true;
  bool lost_bytes = false;
  bool dead = false;
};

}  // namespace understudy::cli
