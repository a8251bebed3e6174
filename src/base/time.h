// SPDX-License-Identifier: Apache-2.0
// The two kinds of time. SteadyTime is for limits, leases and rates; WallTime is for people and
// documents only (it may jump). Both come from env::Env, never from a clock directly. Threading:
// values.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace understudy::base {

using Duration = std::chrono::nanoseconds;
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

// Milliseconds since 1970-01-01T00:00:00Z.
struct WallTime {
  int64_t unix_ms = 0;

  constexpr auto operator<=>(const WallTime&) const = default;
};

std::string ToRfc3339(WallTime time);  // "2026-03-01T09:30:00.125Z"
Result<WallTime> FromRfc3339(
    std::string_view text);  // the form above, with or without the fraction

}  // namespace understudy::base
