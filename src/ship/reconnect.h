// SPDX-License-Identifier: Apache-2.0
// ReconnectPolicy: when to connect to a peer again. One per peer server.
//
// A loss is event 2153 with its cause. The first retry comes after a short delay, each further one
// after twice that, up to a maximum, each with jitter so that servers do not come back in step. A
// connection that lived for `stable_after` starts the delays over.
//
// Threading: confined to one thread.
#pragma once

#include <cstdint>
#include <string>

#include "env/env.h"

namespace understudy::ship {

inline constexpr int kEventConnectionLost = 2153;

class ReconnectPolicy {
 public:
  struct Options {
    std::string peer{};
    base::Duration delay_first = std::chrono::milliseconds(100);
    base::Duration delay_max = std::chrono::seconds(15);
    base::Duration stable_after = std::chrono::seconds(10);
  };
  struct Event {
    int number = 0;  // kEventConnectionLost, or 0: none yet
    std::string
        text;  // "event 2153: connection to s1 lost: no message for 10 s; retry 1 in 0.08 s"
    base::WallTime time{};
    uint64_t count = 0;  // losses so far
  };

  ReconnectPolicy(env::Env& env, const Options& options) : env_(env), options_(options) {}

  // True when it is time to connect (never while connected). The caller then connects and reports.
  bool Due(base::SteadyTime now) const { return !connected_ && now >= next_attempt_; }
  base::SteadyTime next_attempt() const { return next_attempt_; }
  void OnConnected(base::SteadyTime now);
  // The connection is gone, or the attempt failed. Writes the event as a diagnostic.
  const Event& OnLost(const std::string& cause, base::SteadyTime now);
  void RetryNow() { next_attempt_ = {}; }  // the peer was heard of by other means

  bool connected() const { return connected_; }
  uint32_t failures() const { return failures_; }  // in a row
  const Event& last_event() const { return last_event_; }

 private:
  env::Env& env_;
  const Options options_;
  bool connected_ = false;
  uint32_t failures_ = 0;
  base::SteadyTime connected_at_{};
  base::SteadyTime next_attempt_{};
  Event last_event_;
};

}  // namespace understudy::ship
