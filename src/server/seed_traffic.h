// SPDX-License-Identifier: Apache-2.0
// SeedTraffic: what bounds the seeds and resyncs that one server gives and takes: so many at once
// (seed.parallel, for each of the two), so many bytes a second (seed.bandwidth, likewise). Those
// that have no slot yet stand in line and can be listed.
//
// Threading: thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/rate_limit.h"
#include "base/time.h"

namespace understudy::server {

// First come, first served. One that waits has to ask again and again: it is forgotten after
// kForgottenAfter.
class SeedSlots {
 public:
  static constexpr base::Duration kForgottenAfter = std::chrono::seconds(10);

  struct Seed {
    std::string database;
    std::string peer;  // the other server
    bool running = false;
    auto Name() const { return std::pair(database, peer); }
  };

  // True: it has a slot, until Leave. False: `why` says how many are before it.
  bool Enter(const std::string& database, const std::string& peer, uint32_t slots,
             base::SteadyTime now, std::string& why) EXCLUDES_LOCK(mutex_);
  void Leave(const std::string& database, const std::string& peer) EXCLUDES_LOCK(mutex_);
  std::vector<Seed> seeds() const EXCLUDES_LOCK(mutex_);  // in order

 private:
  struct Entry {
    Seed seed;
    base::SteadyTime asked{};
  };
  mutable base::Mutex mutex_;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
};

struct SeedTraffic {
  SeedTraffic(uint64_t bandwidth, uint32_t parallel_seeds) { SetLimits(bandwidth, parallel_seeds); }
  void SetLimits(uint64_t bandwidth, uint32_t parallel_seeds) {
    given_rate.SetRate(bandwidth);
    taken_rate.SetRate(bandwidth);
    parallel = parallel_seeds;
  }

  base::RateLimit given_rate;
  base::RateLimit taken_rate;
  SeedSlots given;
  SeedSlots taken;
  std::atomic<uint32_t> parallel = 1;
};

// The slot of one seed that is given. Threading: confined to the session's thread.
class GivenSeed {
 public:
  GivenSeed(SeedTraffic* traffic, std::string database, std::string peer)
      : traffic_(traffic), database_(std::move(database)), peer_(std::move(peer)) {}
  ~GivenSeed() { Leave(); }
  GivenSeed(const GivenSeed&) = delete;
  GivenSeed& operator=(const GivenSeed&) = delete;

  // As SeedSlots::Enter; without bounds (null traffic) always true.
  bool Enter(base::SteadyTime now, std::string& why) {
    if (traffic_ == nullptr || has_slot_) return true;
    return has_slot_ = traffic_->given.Enter(database_, peer_, traffic_->parallel, now, why);
  }
  void Leave() {
    has_slot_ = false;
    if (traffic_ != nullptr) traffic_->given.Leave(database_, peer_);
  }
  bool has_slot() const { return has_slot_; }

 private:
  SeedTraffic* const traffic_;
  const std::string database_;
  const std::string peer_;
  bool has_slot_ = false;
};

}  // namespace understudy::server
