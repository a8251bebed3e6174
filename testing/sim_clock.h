// SPDX-License-Identifier: Apache-2.0
// SimClock: time that moves only when a test says so. Steady and wall time advance together; the
// wall clock can also be stepped alone, as an administrator or NTP does.
//
// Threading: thread-safe. Units: nanoseconds (steady), milliseconds (wall).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace understudy::test {

class SimClock {
 public:
  // The steady clock starts at one hour, so that "now - limit" never goes below zero; the wall
  // clock starts at 2026-01-01T00:00:00Z.
  SimClock() = default;

  base::SteadyTime Now() const { return base::SteadyTime(std::chrono::nanoseconds(steady_ns_)); }
  base::WallTime WallNow() const {
    return {kWallStartMs + (steady_ns_ - kSteadyStartNs) / 1'000'000 + wall_step_ms_};
  }

  // REQUIRES: by >= 0; the steady clock never goes back.
  void Advance(base::Duration by) {
    CHECK(by.count() >= 0);
    steady_ns_ += by.count();
  }
  // Moves the wall clock only, forwards or backwards.
  void StepWall(std::chrono::milliseconds by) { wall_step_ms_ += by.count(); }

 private:
  static constexpr int64_t kSteadyStartNs = 3'600'000'000'000;
  static constexpr int64_t kWallStartMs = 1'767'225'600'000;

  std::atomic<int64_t> steady_ns_ = kSteadyStartNs;
  std::atomic<int64_t> wall_step_ms_ = 0;
};

}  // namespace understudy::test
