// SPDX-License-Identifier: Apache-2.0
// AnnouncedBackups: the backups of passive copies that other servers have told this one, the active
// copy's, of: "backup in progress", as a lease. One that is not announced again in time is
// forgotten. They are why a switchover is refused, and who a second backup is told of.
//
// Threading: thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "cluster/backup_lease.h"
#include "server/context.h"

namespace understudy::server {

class AnnouncedBackups {
 public:
  static constexpr size_t kBackupsMax = 256;
  static constexpr base::Duration kLastsMax = std::chrono::hours(1);

  explicit AnnouncedBackups(const ServerContext& context) : context_(context) {}

  // Another one of the same database that runs: then nothing is changed. One that has the turn in
  // the coordinator takes the other's place: that one has ended, and could not say so here. Log
  // from `range_end` on is held for as long as it is known here.
  std::optional<cluster::BackupLease> Announce(const cluster::BackupLease& lease,
                                               base::Duration lasts, bool has_turn,
                                               base::Position range_end) EXCLUDES_LOCK(mutex_);
  void End(const cluster::BackupLease& lease, bool succeeded) EXCLUDES_LOCK(mutex_);
  std::optional<cluster::BackupLease> Find(const std::string& database) EXCLUDES_LOCK(mutex_);
  // Forgets those that were not announced again; called now and then.
  void Expire() EXCLUDES_LOCK(mutex_);

 private:
  // Together with the entry, so that no hold is left of one that ends at the same moment.
  void ReleaseHold(const cluster::BackupLease& lease) const REQUIRES_LOCK(mutex_);

  struct Entry {
    cluster::BackupLease lease;
    base::SteadyTime until;
  };

  const ServerContext context_;
  base::Mutex mutex_;
  std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);  // by database
};

}  // namespace understudy::server
