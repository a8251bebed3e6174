// SPDX-License-Identifier: Apache-2.0
// RestoreOnto: makes an existing database file that of a backup by writing only the pages that
// differ (docs/design/0014-restore.md).
//
//   compare   the file's pages are hashed and compared with the backup's page hashes
//   restoring all data of the chain is read and proved; nothing is written yet
//   writing   the first bytes of the file say "not a database", durably; then its journals are
//             removed, the pages written, read back and synced, and last the first bytes
//
// Invariants:
//   1. From the first change to the last the file begins with kHalfRestored, which SQLite refuses
//      ("file is not a database"). So it is the old database, the new one, or none.
//   2. Running it again, with this backup or another one, finishes it: what is right is kept.
//   3. Nobody else has the file open: SQLite's exclusive lock is held (sqlite/exclusive_file.h).
// Memory: 16 bytes a page, and kDeltaImagesMax of pages; what does not fit is read from the
// repository twice. Threading: thread-compatible. Errors: kNotFound (no such file),
// kInvalidArgument (no database, or other pages), kBusy, kNoSpace, kCorruption (of the backup: the
// file is as it was), others as of Restore.
#pragma once

#include <string_view>

#include "backup/restore.h"

namespace understudy::backup {

// Instead of "SQLite format 3\0".
inline constexpr std::string_view kHalfRestored = "half restored 1\n";
inline constexpr uint64_t kDeltaImagesMax = 64 << 20;

struct DeltaOptions {
  std::string database = {};
  std::string backup = {};  // its id; empty: the newest good one
  std::string file = {};
  std::string vfs = {};                   // SQLite's; empty: the default one
  uint64_t images_max = kDeltaImagesMax;  // bytes of pages kept in memory
  base::ProgressSink progress = {};       // phases "comparing", "restoring", "writing"
};

struct DeltaResult {
  BackupDocument document;  // what was restored
  uint64_t bytes_kept = 0;
  uint64_t bytes_written = 0;
  bool was_half = false;  // the file was half restored
  uint64_t duration_ms = 0;
};

base::Result<DeltaResult> RestoreOnto(env::Env& env, Executor& executor,
                                      const Repository& repository, const DeltaOptions& options);

}  // namespace understudy::backup
