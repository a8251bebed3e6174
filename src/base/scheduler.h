// SPDX-License-Identifier: Apache-2.0
// Scheduler: what the simulator (testing/sim_scheduler.h) puts in the place of the operating
// system's threads and waits, so that the whole program runs in one thread, in an order that a seed
// decides, and over time that passes only while nobody has anything to do.
//
// A daemon has none: Mutex, CondVar, Thread, Yield and SteadyNow then are the operating system's.
// Threading: installed once, before any Thread starts; the functions are called by its threads
// only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/time.h"

namespace understudy::base {

class Scheduler {
 public:
  using ThreadId = uint64_t;

  virtual ~Scheduler() = default;
  virtual ThreadId Start(std::function<void()> body) = 0;
  virtual void Join(ThreadId thread) = 0;
  virtual void Yield() = 0;
  // Waits until somebody wakes those who wait for `what`, or `limit` has passed (false).
  virtual bool WaitFor(const void* what, Duration limit) = 0;
  virtual void Wake(const void* what, bool all) = 0;
  virtual SteadyTime Now() = 0;
};

namespace internal {
inline Scheduler* scheduler = nullptr;
}  // namespace internal

inline Scheduler* InstalledScheduler() { return internal::scheduler; }
// Null: back to the operating system's threads. REQUIRES: no Thread runs.
inline void InstallScheduler(Scheduler* scheduler) { internal::scheduler = scheduler; }

// Now, for limits of waits. (Everything else asks env::Env.)
inline SteadyTime SteadyNow() {
  return InstalledScheduler() != nullptr ? InstalledScheduler()->Now()
                                         : std::chrono::steady_clock::now();
}

}  // namespace understudy::base
