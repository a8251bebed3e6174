// SPDX-License-Identifier: Apache-2.0
// LagHistory: the queues and ages of copies over the last hours, in memory: for each minute the
// worst that was seen.
//
// A copy on this server is known exactly, others by what their servers publish; of those no age is
// known, and nothing while their server is down. kStepsMax minutes of kCopiesMax copies are kept,
// about 9 MB at most; copies beyond are left out. It begins anew with the daemon.
// Threading: thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/time.h"
#include "web/status_json.h"
#include "web/status_source.h"

namespace understudy::web {

class LagHistory {
 public:
  static constexpr base::Duration kInterval = std::chrono::seconds(5);  // between two looks
  static constexpr base::Duration kStep = std::chrono::minutes(1);
  static constexpr size_t kStepsMax = 360;
  static constexpr size_t kCopiesMax = 2000;

  // `now` is of a steady clock.
  void Note(const Snapshot& snapshot, base::Duration now) EXCLUDES_LOCK(mutex_);
  // Of the database's passive copies; the last value of each list is of the minute `until`.
  Json Of(const std::string& database) const EXCLUDES_LOCK(mutex_);

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;
  struct Sample {
    uint32_t copy_queue = kUnknown;
    uint32_t replay_queue = kUnknown;
    uint32_t age_ms = kUnknown;  // of what readers see
  };
  using Key = std::pair<std::string, std::string>;  // database, server
  struct Series {
    int64_t step = 0;  // of the last sample
    std::deque<Sample> samples;
  };

  void Add(const Key& key, const Sample& sample, int64_t step) REQUIRES_LOCK(mutex_);
  void AddPublished(const Snapshot& snapshot, int64_t step) REQUIRES_LOCK(mutex_);

  mutable base::Mutex mutex_;
  int64_t step_ GUARDED_BY(mutex_) = 0;
  base::WallTime until_ GUARDED_BY(mutex_);
  std::map<Key, Series> series_ GUARDED_BY(mutex_);
};

}  // namespace understudy::web
