// SPDX-License-Identifier: Apache-2.0
// FlowWindow: how many bytes a connection may have under way, so that a slow link never has more
// than a moment's worth of them queued on the way.
//
// Without it a link of 20 KiB/s would hold megabytes in socket buffers: heartbeats and keepalive
// pings wait behind them for minutes, both ends take each other for dead, and all that was under
// way is sent again, for ever. The receiver says how many bytes have arrived; the time that a byte
// took, less the shortest time ever seen (the link's own latency), is how long it waited in queues.
// Below kQueueingGoal a window that was used up doubles per round trip; above kQueueingMax it
// shrinks to a half, or to less after a longer wait, once per window.
//
// Threading: thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/time.h"

namespace understudy::rpc {

class FlowWindow {
 public:
  static constexpr uint64_t kBytesMin = 16 << 10;
  static constexpr uint64_t kBytesStart = 64 << 10;
  static constexpr uint64_t kBytesMax = 16 << 20;
  static constexpr base::Duration kQueueingGoal = std::chrono::milliseconds(200);
  static constexpr base::Duration kQueueingMax = std::chrono::milliseconds(1000);
  // A receiver tells what has arrived after this many bytes at the latest.
  static constexpr uint64_t kTellBytes = 4 << 10;
  // A longer message goes in pieces of piece_bytes(), so that others can pass between them.
  static constexpr uint64_t kPieceBytesMax = 256 << 10;

  bool HasRoom() const { return in_flight() < window_; }
  void OnSent(base::SteadyTime now, uint64_t bytes);
  // The peer has received `total` bytes since the connection began. False: more than were sent.
  bool OnReceived(base::SteadyTime now, uint64_t total);

  uint64_t piece_bytes() const;
  uint64_t window_bytes() const { return window_; }
  uint64_t in_flight() const { return sent_ - received_; }

 private:
  struct Sample {
    uint64_t end;  // of the bytes sent by then
    base::SteadyTime time;
  };

  uint64_t window_ = kBytesStart;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  std::deque<Sample> samples_;  // one for about kTellBytes, those that have not arrived
  base::Duration latency_ = base::Duration::max();
  bool used_up_ = false;         // since it last grew
  uint64_t next_shrinking_ = 0;  // only by the delay of bytes after this
};

}  // namespace understudy::rpc
