// SPDX-License-Identifier: Apache-2.0
// CheckDatabase: whether a file is an SQLite database that can be followed, and if not, why not and
// what to do, in one sentence.
//
// Refused, each with its own text: no such file, a directory, an empty file, a file that is not
// SQLite, an impossible header, a rollback-journal database (set_wal_mode converts it), a database
// that somebody has locked exclusively, a copy with the read-only mark.
// Reads through SQLite's own handle only. Threading: pure function. Errors: kNotFound,
// kInvalidArgument, kBusy, kCorruption, kIoError.
#pragma once

#include <string>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::sqlite {

struct CheckOptions {
  bool set_wal_mode = false;  // run PRAGMA journal_mode=WAL if it is not in WAL mode
  bool allow_read_only_mark = false;
  base::Duration busy_timeout = std::chrono::seconds(3);
};

struct DatabaseFacts {
  uint32_t page_size = 0;
  bool converted_to_wal = false;
  bool read_only_mark = false;  // as stock SQLite sees it, the WAL included
  uint64_t device = 0;
  uint64_t inode = 0;
};

base::Result<DatabaseFacts> CheckDatabase(env::Env& env, const std::string& path,
                                          const CheckOptions& options);

}  // namespace understudy::sqlite
