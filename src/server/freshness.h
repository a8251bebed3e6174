// SPDX-License-Identifier: Apache-2.0
// Freshness: how long ago the active copy had no more than a passive one has now.
//
// It remembers what the active copy's end was, and when that was heard: by this server's own steady
// clock, so that the servers' clocks need not agree. A connection that is alive and silent says "no
// change"; its silence counts only once a heartbeat is overdue. At most kSamplesMax moments are
// kept, as far apart as kPrecision of their age: an age is too large by about that, never too
// small. Older than the oldest one is "not known".
// Threading: thread-compatible.
#pragma once

#include <deque>
#include <optional>

#include "base/ids.h"
#include "base/time.h"

namespace understudy::server {

class Freshness {
 public:
  static constexpr size_t kSamplesMax = 512;
  static constexpr int kPrecision = 16;  // one sixteenth
  static constexpr base::Duration kSpacing = std::chrono::milliseconds(10);

  // A silence longer than `overdue` is one.
  explicit Freshness(base::Duration overdue) : overdue_(overdue) {}

  // The active copy's end was `end` at `now`, as far as can be heard.
  void Heard(base::SteadyTime now, base::Seq end);
  void Disconnected() { connected_ = false; }
  // Ends of another term's log say nothing about this one's.
  void Forget();

  // Of a copy that has everything up to `seq`; nothing: not known.
  std::optional<base::Duration> Age(base::SteadyTime now, base::Seq seq) const;
  // The same; where that is not known, how long something has been known at all.
  base::Duration AgeAtLeast(base::SteadyTime now, base::Seq seq) const;

 private:
  struct Sample {
    base::SteadyTime time;
    base::Seq end;
  };

  void ThinOut(base::SteadyTime now);

  base::Duration overdue_;
  std::deque<Sample> samples_;  // oldest first; the last one is the newest that was heard
  bool connected_ = false;
};

}  // namespace understudy::server
