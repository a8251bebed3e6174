// SPDX-License-Identifier: Apache-2.0
// Recoveries: the recovery databases of a server: content of backups beside the live databases, for
// people to look at and take rows from (docs/design/0036-recovery-databases.md).
//
//   DATA_DIR/.recovery/NAME/NAME.db            a plain SQLite file
//   DATA_DIR/.recovery/NAME/recovery.json      what it is; written last: without it there is none
//
// Nobody replicates, mounts or counts them. A killed daemon leaves a directory without a manifest,
// which goes when it starts. Threading: pure functions; who creates or removes holds a turn
// (restore_turns.h). Errors: those of Env; kCorruption of a manifest, which is listed as damaged.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::server {

inline constexpr size_t kRecoveriesMax = 16;  // on a server
inline constexpr uint64_t kRecoveryManifestBytesMax = 64 << 10;

struct Recovery {
  std::string name = {};
  std::string database = {};
  base::DatabaseId database_id = {};
  std::string backup = {};
  base::Position position = {};
  base::WallTime commit_time = {};
  base::WallTime created = {};
  uint64_t bytes = 0;
};

std::string ToJson(const Recovery& recovery);
base::Result<Recovery> RecoveryFromJson(std::string_view text);

std::string RecoveryPath(const std::string& data_dir, const std::string& name);  // of the database
base::Result<std::vector<Recovery>> ListRecoveries(env::Env& env, const std::string& data_dir);

// Before its database is written: kAlreadyExists, kBusy when there are kRecoveriesMax.
base::Status PrepareRecovery(env::Env& env, const std::string& data_dir, const std::string& name);
// Its database is whole and synced.
base::Status FinishRecovery(env::Env& env, const std::string& data_dir, const Recovery& recovery);
base::Status RemoveRecovery(env::Env& env, const std::string& data_dir, const std::string& name);
// What killed daemons left.
void RemoveUnfinishedRecoveries(env::Env& env, const std::string& data_dir);

}  // namespace understudy::server
