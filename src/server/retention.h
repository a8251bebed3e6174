// SPDX-License-Identifier: Apache-2.0
// Which log may go: everything before the newest `keep_bytes`; holds (log/log_store.h) keep more.
// Threading: pure functions.
#pragma once

#include <vector>

#include "log/log_store.h"

namespace understudy::server {

// The newest seq that retention by size lets go; 0: nothing.
base::Seq TruncatableUpTo(const std::vector<log::GenerationInfo>& generations, uint64_t keep_bytes);

// Truncates if there is something to gain. Returns the bytes freed.
base::Result<uint64_t> ApplyRetention(log::LogStore& log, uint64_t keep_bytes);

}  // namespace understudy::server
