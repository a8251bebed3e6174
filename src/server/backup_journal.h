// SPDX-License-Identifier: Apache-2.0
// Which backups into a repository run here: DATA_DIR/.backups/ID.json, there from a session's begin
// to its end. What is found at a start was cut off, and is begun again under the same id: its
// snapshot is gone, so it is taken anew. At most kAttemptsMax times: what kills the daemon each
// time must not be begun for ever. Threading: pure functions over the environment.
#pragma once

#include <string>
#include <vector>

#include "env/env.h"
#include "server/backup_session.h"

namespace understudy::server {

struct JournalledBackup {
  static constexpr uint64_t kAttemptsMax = 3;
  BackupSession::Options options;  // without faults
  uint64_t attempt = 1;
};

base::Status SaveBackup(env::Env& env, const std::string& data_dir, const JournalledBackup& backup);
void ForgetBackup(env::Env& env, const std::string& data_dir, const std::string& id);
// Files that cannot be read are removed: their backups are not begun again, and their partial data
// goes with the next one.
std::vector<JournalledBackup> LoadBackups(env::Env& env, const std::string& data_dir);

}  // namespace understudy::server
