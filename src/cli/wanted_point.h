// SPDX-License-Identifier: Apache-2.0
// Which backup a restore is of: --backup ID, --at TIME or --position N, and what is told of the
// next one, since what was committed between the two is in neither. Threading: pure functions.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/json.h"

namespace understudy::cli {

struct WantedPoint {
  std::string backup;   // its id
  base::WallTime time;  // nothing was committed later
  uint64_t seq = 0;     // it is not after this position
};

// `wanted` must outlive the command.
void AddWantedPoint(CLI::App& app, WantedPoint& wanted);

struct NextBackup {
  std::string id;  // empty: there is none
  uint64_t seq = 0;
  int64_t commit_ms = 0;
};
Json ToJson(const NextBackup& next);
std::string ToText(const NextBackup& next);  // a line, or nothing

}  // namespace understudy::cli
