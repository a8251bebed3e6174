// SPDX-License-Identifier: Apache-2.0
// A snapshot as a plain SQLite file, for a requester that copies it itself (`understudy backup
// exec`): DATA_DIR/.exposed/SESSION/DATABASE.db, readable by the daemon's user only.
//
// It is complete, checked and synced before its path is told. A daemon that starts removes what
// crashed sessions left. Threading: pure functions over the environment.
#pragma once

#include <string>

#include "backup/snapshot_source.h"
#include "base/progress.h"
#include "env/env.h"

namespace understudy::server {

std::string ExposedDirectory(const std::string& data_dir, const std::string& session);

// Writes the file into `directory`, which must not exist; its path. kNoSpace with numbers when it
// does not fit.
base::Result<std::string> Expose(env::Env& env, backup::SnapshotSource& source,
                                 const std::string& directory, const base::ProgressSink& progress);
// Where a session's clone (clone_snapshot.h) is made: beside, so that one that cannot be made
// leaves no directory.
std::string ClonePath(const std::string& data_dir, const std::string& session);
// Moves a whole file there instead.
base::Result<std::string> ExposeClone(env::Env& env, const std::string& clone,
                                      const std::string& database, const std::string& directory);
// Best effort: what stays is removed at the next start.
void RemoveExposed(env::Env& env, const std::string& directory);
void RemoveAllExposed(env::Env& env, const std::string& data_dir);

}  // namespace understudy::server
