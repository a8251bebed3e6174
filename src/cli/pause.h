// SPDX-License-Identifier: Apache-2.0
// The wait between two looks at something that can only be asked, not waited for.
// Threading: thread-safe.
#pragma once

#include "base/time.h"

namespace understudy::cli {

inline constexpr std::chrono::milliseconds kLookAgainAfter{100};

// Returns after `length`, or sooner when a signal arrives. The caller's loop has the deadline.
void Pause(base::Duration length);

}  // namespace understudy::cli
