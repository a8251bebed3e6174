// SPDX-License-Identifier: Apache-2.0
// The lost records of a bundle (docs/formats/lost-log.md), read from its log files.
//
// The files are as they were in the copy's log: the first may begin with records that are not lost,
// and those of a damaged log are read as far as that goes, each by itself.
// Limits: the records asked for, and kLostReadBytesMax of log. Threading: pure function over Env;
// changes nothing. Errors: those of Env; damage is told, and is no error.
#pragma once

#include <string>
#include <vector>

#include "server/lost_log.h"

namespace understudy::server {

inline constexpr uint64_t kLostReadBytesMax = 1 << 30;

struct LostRecord {
  base::Position first;
  base::Position last;
  base::WallTime commit_time;
  uint64_t pages = 0;
  uint64_t bytes = 0;
};
struct LostRecords {
  std::vector<LostRecord> records;  // whole ones, in order
  std::string damage;               // the first that was found; empty: none
};
base::Result<LostRecords> ReadLostRecords(env::Env& env, const LostBundle& bundle,
                                          size_t records_max);

}  // namespace understudy::server
