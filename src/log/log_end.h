// SPDX-License-Identifier: Apache-2.0
// LogEnd: the state of a log, and of the database, right after a record. Threading: values.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/time.h"
#include "log/record.h"

namespace understudy::log {

// The state at the end of the last complete record.
struct LogEnd {
  base::Position position{};      // {0, 0}: nothing yet
  base::Generation generation{};  // which holds that record's last part
  uint32_t page_size = 0;
  uint32_t pages = 0;
  uint64_t checksum = 0;
  base::WallTime commit_time{};
  SourcePosition source{};

  bool operator==(const LogEnd&) const = default;
};

}  // namespace understudy::log
