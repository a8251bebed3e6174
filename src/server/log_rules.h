// SPDX-License-Identifier: Apache-2.0
// LogRules: what the copies of this server must know to truncate their log, beside the log itself:
// the group's bounds, what is backed up, what other copies have, and which backups keep log.
//
// The cluster thread hands in the group as it was last read; backup sessions set their holds. While
// the group has not been read, nothing counts as backed up and the initial bounds hold.
// Threading: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "log/log_store.h"
#include "web/status_source.h"

namespace understudy::server {

// A backup's, on the copy that it reads and at the active copy: log from its beginning on.
log::Hold BackupHold(const std::string& id, const std::string& server, base::Position from);
bool IsBackupHold(std::string_view name);

class LogRules {
 public:
  void SetGroup(std::shared_ptr<const web::GroupView> group) EXCLUDES_LOCK(mutex_);
  // Of a backup, or another reason that ends when its owner says so; of a database's copy here.
  void SetHold(const std::string& database, const log::Hold& hold) EXCLUDES_LOCK(mutex_);
  void ReleaseHold(const std::string& database, const std::string& name) EXCLUDES_LOCK(mutex_);

  struct Of {
    bool known = false;  // the group has been read, and has the database
    uint64_t straggler_bytes_max = 0;
    uint64_t disk_free_min = 0;
    bool circular = true;
    cluster::BackedUp backed_up;
    base::Seq backed_up_to;
    // Passive copies on other servers, and what they have published that they have.
    std::map<std::string, base::Position> passives;
    std::vector<log::Hold> holds;
  };
  Of Database(const std::string& name, const std::string& here) const EXCLUDES_LOCK(mutex_);

 private:
  mutable base::Mutex mutex_;
  std::shared_ptr<const web::GroupView> group_ GUARDED_BY(mutex_);
  std::map<std::string, std::map<std::string, log::Hold>> holds_ GUARDED_BY(mutex_);
};

}  // namespace understudy::server
