// SPDX-License-Identifier: Apache-2.0
// ChannelWatch: keeps one channel alive and notices when the peer is dead or the connection half
// open. Each side has one per channel.
//
// Every `interval` it sends a Heartbeat (with the ends of the databases that
// this side is the source of), which also keeps middleboxes' idle timers from firing. When nothing
// was heard for `silence_max` it closes the channel and says why.
//
// Threading: confined to one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ship/messages.h"
#include "ship/run_result.h"

namespace understudy::ship {

class ChannelWatch {
 public:
  struct Options {
    base::Duration interval = std::chrono::seconds(2);
    base::Duration silence_max = std::chrono::seconds(10);
  };
  using Ends = std::function<std::vector<Heartbeat::End>()>;

  // `channel` is borrowed. `ends` may be empty (a copier has none to tell).
  ChannelWatch(const Options& options, Channel& channel, base::SteadyTime now, Ends ends = {});

  RunResult RunOnce(base::SteadyTime now);
  // The next RunOnce sends a heartbeat: what it tells has changed.
  void Hasten() { next_heartbeat_ = {}; }
  // Empty while the channel lives by our judgement; else "no message for 10 s (…)".
  const std::string& cause() const { return cause_; }
  uint64_t heartbeats_sent() const { return count_; }

 private:
  const Options options_;
  Channel& channel_;
  const Ends ends_;
  uint64_t heard_;  // of the channel, at last_received_
  base::SteadyTime last_received_;
  base::SteadyTime next_heartbeat_;
  uint64_t count_ = 0;
  std::string cause_;
};

}  // namespace understudy::ship
