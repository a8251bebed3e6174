// SPDX-License-Identifier: Apache-2.0
// Progress of long work (seed, backup, verify, restore), and how the one who does it is told to
// stop. Rates and remaining time are computed by whoever shows it. Threading: values; a
// ProgressSink is called on the thread that does the work and must return quickly.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace understudy::base {

struct Progress {
  std::string phase;        // "seeding", "backing up", "verifying", "restoring"
  uint64_t bytes_done = 0;  // of page images, before compression
  uint64_t bytes_total = 0;
};

// Returns false to cancel: the work then ends with kCancelled and leaves nothing half-done behind.
using ProgressSink = std::function<bool(const Progress&)>;

}  // namespace understudy::base
