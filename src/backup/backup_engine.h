// SPDX-License-Identifier: Apache-2.0
// RunBackup: one backup of a copy into a repository, of any type; RunFull: a full one.
//
//   prepare    lock, remove leftovers, check names, id, free space and time (numbers in the
//              message)
//   base       of an increment: chosen and checked (increment_backup.h)
//   transfer   data is uploaded: compressed, written, stored piece by piece
//   verify     each piece is read back from where it is stored, decoded, and every page hashed: the
//              database checksum must come out as SnapshotSource::at() says
//   publish    the page hashes, then the data file under its LTX name, then the document
//
// ENSURES: when the result is ok, the backup is stored durably, was read back and is listed.
// Otherwise nothing of it is listed, and nothing is left behind except after a crash (then the next
// backup removes it). Memory: about 4 MiB for each slot (2 * workers + 1 of them) and 9 bytes a
// page. Threading: thread-compatible; one backup per database and repository at a time (kBusy).
#pragma once

#include <functional>
#include <string>

#include "backup/backup_document.h"
#include "backup/executor.h"
#include "backup/prediction.h"
#include "backup/repository.h"
#include "backup/snapshot_source.h"
#include "backup/writer_state.h"
#include "base/progress.h"

namespace understudy::backup {

struct BackupOptions {
  // Phases "backing up" and then, from the same total, "verifying". Returning false cancels.
  base::ProgressSink progress = {};
  std::string software = "understudy";  // name and version for the document
  BackupType type = BackupType::kFull;  // kFull, kCopy, kIncremental or kDifferential
  bool or_full = false;                 // instead of an increment that has no base
  std::string id = {};                  // of the backup; empty: a new one
  uint64_t bytes_per_second = 0;        // that are written to the repository; 0: no limit
  // Told once, before anything is written; not of a backup that has nothing to write.
  std::function<void(const Prediction&)> predicted = {};
  base::Duration time_max{};  // one that is expected to last longer is not begun; zero: no limit
};

struct [[nodiscard]] BackupResult {
  base::Status status = {};
  BackupDocument document = {};  // of an ok one; of a failed one what was known by then
  // How it is reported in the words of VSS: a failure names where it happened and its kind.
  Phase phase = Phase::kIdentify;
  WriterState state = WriterState::kUnknown;
  WriterCode code = WriterCode::kOk;
  // Not empty: why a full backup was taken instead of the increment that was asked for.
  std::string instead_of_increment = {};
};

BackupResult RunBackup(env::Env& env, Executor& executor, const Repository& repository,
                       SnapshotSource& source, const BackupOptions& options);
// REQUIRES: the type is kFull or kCopy.
BackupResult RunFull(env::Env& env, Executor& executor, const Repository& repository,
                     SnapshotSource& source, const BackupOptions& options);

}  // namespace understudy::backup
