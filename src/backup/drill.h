// SPDX-License-Identifier: Apache-2.0
// Drill: a restore on trial. A backup is restored to a scratch file, SQLite checks that file, its
// checksum is compared with the document's, and the file is removed: the proof that the backup can
// be restored, which reading it (verify.h) is not.
//
//   <repository>/<database>/drills/<time>-<backup id>.json     what came of one
//
// Each drill is an object of its own, so that they need no lock; the newest kDrillsKept stay.
// Threading: thread-compatible. Errors: of a drill that could not be made; what it found is in the
// record.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backup/executor.h"
#include "backup/repository.h"
#include "base/progress.h"

namespace understudy::backup {

inline constexpr size_t kDrillsKept = 30;
inline constexpr size_t kDrillsListed = 5;
inline constexpr uint64_t kDrillBytesMax = 64 << 10;

struct DrillRecord {
  std::string database = {};
  std::string backup = {};
  base::WallTime at = {};
  std::string server = {};
  bool good = false;
  std::string message = {};  // of one that is not: what is wrong
  uint64_t bytes = 0;        // of the database
  uint64_t duration_ms = 0;
};

std::string ToJson(const DrillRecord& record);
base::Result<DrillRecord> DrillFromJson(std::string_view text);  // kCorruption

struct DrillOptions {
  std::string database = {};
  std::string backup = {};   // its id; empty: the newest good one
  std::string scratch = {};  // a file that may be replaced; gone afterwards
  std::string server = {};   // who makes it
  base::ProgressSink progress = {};
  std::function<base::Status(const std::string&)> check = {};  // empty: sqlite::CheckIntegrity
};

// A damaged backup is a record that is not good. No record where nothing is known of the backup:
// the disk is full, the repository does not answer, somebody asked to stop.
base::Result<DrillRecord> Drill(env::Env& env, Executor& executor, const Repository& repository,
                                const DrillOptions& options);

// The newest kDrillsListed, newest first; what cannot be read is left out.
base::Result<std::vector<DrillRecord>> ListDrills(const Repository& repository,
                                                  const std::string& database);

}  // namespace understudy::backup
