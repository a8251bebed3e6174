// SPDX-License-Identifier: Apache-2.0
// VerifyBackup: reads all files of a backup from disk and computes everything anew: sizes, file
// hashes, LTX checksums, every page and the database checksum; of an increment also what it is
// based on, because only together they are a backup. Works without any server.
//
// Threading: thread-compatible; may run beside backups and restores.
#pragma once

#include <string>

#include "backup/executor.h"
#include "backup/repository.h"
#include "base/progress.h"

namespace understudy::backup {

struct VerifyOptions {
  base::ProgressSink progress = {};  // phase "verifying"
  bool record = true;                // write the outcome into the document
};

struct [[nodiscard]] VerifyResult {
  base::Status status;      // ok: good; kCorruption: damaged; anything else: could not be verified
  BackupDocument document;  // as found, with the new verification in it
  // The outcome is in the document on disk; not when a running backup holds the lock, the
  // repository is read-only, options.record is false, or it could not be verified.
  bool recorded = false;
};

VerifyResult VerifyBackup(env::Env& env, Executor& executor, const Repository& repository,
                          const std::string& database, const std::string& id,
                          const VerifyOptions& options);

}  // namespace understudy::backup
