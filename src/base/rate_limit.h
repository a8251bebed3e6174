// SPDX-License-Identifier: Apache-2.0
// RateLimit: so many bytes a second, shared by everybody who takes from it.
//
// Whoever takes may take any amount at once; nobody takes again before that is paid off. What was
// not used is saved up for kBurst. Threading: thread-safe. Units: bytes a second; 0: no limit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/mutex.h"
#include "base/time.h"

namespace understudy::base {

class RateLimit {
 public:
  static constexpr Duration kBurst = std::chrono::milliseconds(100);

  explicit RateLimit(uint64_t bytes_per_second = 0) : rate_(bytes_per_second) {}
  RateLimit(const RateLimit&) = delete;
  RateLimit& operator=(const RateLimit&) = delete;

  void SetRate(uint64_t bytes_per_second) EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    if (bytes_per_second == rate_) return;
    rate_ = bytes_per_second;
    paid_at_ = {};
  }
  uint64_t rate() const EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return rate_;
  }

  // When something may be taken again; in the past: now.
  SteadyTime ReadyAt() const EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return paid_at_;
  }
  void Take(uint64_t bytes, SteadyTime now) EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    if (rate_ == 0) return;
    const auto cost =
        static_cast<int64_t>(static_cast<double>(bytes) / static_cast<double>(rate_) * 1e9);
    paid_at_ = std::max(paid_at_, now - kBurst) + Duration(cost);
  }

 private:
  mutable Mutex mutex_;
  uint64_t rate_ GUARDED_BY(mutex_);
  SteadyTime paid_at_ GUARDED_BY(mutex_){};
};

}  // namespace understudy::base
