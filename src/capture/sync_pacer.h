// SPDX-License-Identifier: Apache-2.0
// SyncPacer: when the log is synced. At once when that is rare; under constant load no more often
// than leaves the disk to the application: the next sync begins no earlier than a multiple of the
// last one's duration after its end, but never later than `delay_max` after the append.
//
// In a rush, of a thousand commits a second or more, their number matters more than the delay of
// each: an application that syncs its own commits competes with ours for the disk.
// Threading: thread-compatible value.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace understudy::capture {

// Of the disk's time, syncs take at most 1 / (1 + rest).
inline constexpr int kRestPerSync = 3;
inline constexpr int kRestPerSyncInRush = 40;
// A rush: so many commits since the last sync at least, and so close to each other on average.
inline constexpr uint64_t kRushCommitsMin = 3;
inline constexpr base::Duration kRushInterval = std::chrono::milliseconds(1);

class SyncPacer {
 public:
  explicit SyncPacer(base::Duration delay_max) : delay_max_(delay_max) {}

  void OnAppend(uint64_t commits, base::SteadyTime now) {
    if (!pending_) first_append_ = now;
    pending_ = true;
    commits_ += commits;
  }
  void OnSync(base::SteadyTime began, base::SteadyTime ended) {
    rush_ = commits_ >= kRushCommitsMin &&
            began - last_began_ < kRushInterval * static_cast<int64_t>(commits_);
    last_began_ = began;
    commits_ = 0;
    pending_ = false;
    not_before_ = ended + (rush_ ? kRestPerSyncInRush : kRestPerSync) * (ended - began);
  }
  bool pending() const { return pending_; }
  bool rush() const { return rush_; }
  // REQUIRES: pending().
  base::SteadyTime due() const {
    return std::max(first_append_, std::min(not_before_, first_append_ + delay_max_));
  }

 private:
  const base::Duration delay_max_;
  bool pending_ = false;
  bool rush_ = false;
  uint64_t commits_ = 0;
  base::SteadyTime first_append_{};
  base::SteadyTime not_before_{};
  base::SteadyTime last_began_{};
};

}  // namespace understudy::capture
