// SPDX-License-Identifier: Apache-2.0
// Sizes, durations and rates as people write and read them. JSON output never uses these: there,
// sizes are bytes and times are RFC 3339.
//
// Sizes are binary: 1 KiB is 1024 bytes, and so are "1K" and "1kib" where a person types them.
// Threading: pure functions. Errors: kInvalidArgument, naming the text and the accepted forms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"

namespace understudy::cli {

std::string FormatBytes(uint64_t bytes);            // "0 B", "1.5 MiB", "312 MiB"
std::string FormatRate(double bytes_per_second);    // "84.2 MiB/s"
std::string FormatDuration(base::Duration length);  // "0.4 ms", "850 ms", "12.3 s", "2 min 05 s"
std::string FormatCount(uint64_t count);            // "1,742,019"

// "0", "512", "64K", "10MiB", "1.5 GB": a number and an optional unit.
base::Result<uint64_t> ParseBytes(std::string_view text);

// "30" (seconds), "500ms", "30s", "5m", "2h", "1d". Never negative; at most kDurationDaysMax.
base::Result<base::Duration> ParseDuration(std::string_view text);
inline constexpr int64_t kDurationDaysMax = 3650;

}  // namespace understudy::cli
