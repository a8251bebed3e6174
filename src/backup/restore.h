// SPDX-License-Identifier: Apache-2.0
// Restore: writes the database of a backup to a file, byte for byte what the active copy was at
// that position (without the read-only mark). Works without any server.
//
// The chain of documents and the data files' frames are checked before anything is written. Pages,
// of a chain the newest image of each last, go to
// `<output>.restoring`; only when every page and the database checksum are right is it synced and
// renamed to the output. A failed or cancelled restore leaves neither file.
// An existing output is refused unless `force`; so is an output beside which a `-wal`, `-journal`
// or `-shm` file lies, because SQLite would apply it to the restored database (`force` removes
// them), and a file that a process has open, as far as we may see that.
// Threading: thread-compatible.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "backup/executor.h"
#include "backup/repository.h"
#include "base/progress.h"

namespace understudy::backup {

// Files beside a database that SQLite would apply to it.
inline constexpr std::array<std::string_view, 3> kJournalSuffixes = {"-wal", "-shm", "-journal"};
// Beside the output: its lock, and what is not whole yet.
inline constexpr std::string_view kRestoringSuffix = ".restoring";

struct RestoreOptions {
  std::string database = {};
  std::string backup = {};  // its id; empty: the newest good one
  std::string output = {};
  bool force = false;                // replace the output, remove its journal files
  base::ProgressSink progress = {};  // phase "restoring"
};

struct RestoreResult {
  BackupDocument document;  // what was restored
  std::string output;
  uint64_t bytes = 0;
  uint64_t duration_ms = 0;
  uint64_t bytes_per_second = 0;
};

base::Result<RestoreResult> Restore(env::Env& env, Executor& executor, const Repository& repository,
                                    const RestoreOptions& options);

}  // namespace understudy::backup
