// SPDX-License-Identifier: Apache-2.0
// Where the daemon's diagnostic lines go: systemd's journal where standard error is that, with
// their fields (journal.h), else standard error, one line each.
//
//   2026-03-01T09:30:00.125Z info ship connected peer=s2 position=3.1742
// Threading: Install before the first thread is started.
#pragma once

#include <string>
#include <vector>

#include "base/diag.h"

namespace understudy::server {

void InstallDiagSink(base::DiagLevel level);

// The last lines of warning or worse, oldest first, whatever the level.
// Limits: kRecentLinesMax lines of kRecentBytesMax each. Threading: thread-safe.
inline constexpr size_t kRecentLinesMax = 300;
inline constexpr size_t kRecentBytesMax = 2000;
std::vector<std::string> RecentDiag();

}  // namespace understudy::server
