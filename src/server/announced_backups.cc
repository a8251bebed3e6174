// SPDX-License-Identifier: Apache-2.0
#include "server/announced_backups.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "server/log_rules.h"

namespace understudy::server {

using cluster::BackupLease;
using cluster::EventNumber;
using cluster::Severity;

void AnnouncedBackups::ReleaseHold(const BackupLease& lease) const {
  if (context_.log_rules == nullptr) return;
  context_.log_rules->ReleaseHold(lease.database, BackupHold(lease.id, lease.server, {}).name);
}

std::optional<BackupLease> AnnouncedBackups::Announce(const BackupLease& lease,
                                                      base::Duration lasts, bool has_turn,
                                                      base::Position range_end) {
  Expire();
  const base::SteadyTime until =
      context_.env.Now() + std::clamp(lasts, base::Duration(0), kLastsMax);
  {
    base::MutexLock lock(mutex_);
    const auto found = entries_.find(lease.database);
    const bool known = found != entries_.end() && found->second.lease.id == lease.id;
    if (found != entries_.end() && !known && !has_turn) return found->second.lease;
    if (found == entries_.end() && entries_.size() >= kBackupsMax) return std::nullopt;
    if (found != entries_.end() && !known) ReleaseHold(found->second.lease);
    entries_[lease.database] = {lease, until};
    if (context_.log_rules != nullptr) {
      context_.log_rules->SetHold(lease.database, BackupHold(lease.id, lease.server, range_end));
    }
    if (known) return std::nullopt;
  }
  context_.events.Add(lease.type == "incremental" ? EventNumber::kSurrogateIncremental
                                                  : EventNumber::kSurrogateBackup,
                      Severity::kInfo, lease.database,
                      fmt::format("{} has begun", ToString(lease)));
  return std::nullopt;
}

void AnnouncedBackups::End(const BackupLease& lease, bool succeeded) {
  {
    base::MutexLock lock(mutex_);
    const auto found = entries_.find(lease.database);
    if (found == entries_.end() || found->second.lease.id != lease.id) return;
    entries_.erase(found);
    ReleaseHold(lease);
  }
  context_.events.Add(
      succeeded ? EventNumber::kSurrogateCompleted : EventNumber::kSurrogateFailed,
      succeeded ? Severity::kInfo : Severity::kWarning, lease.database,
      fmt::format("{} has {}", ToString(lease), succeeded ? "completed" : "failed"));
}

std::optional<BackupLease> AnnouncedBackups::Find(const std::string& database) {
  Expire();
  base::MutexLock lock(mutex_);
  const auto found = entries_.find(database);
  return found == entries_.end() ? std::nullopt : std::optional(found->second.lease);
}

void AnnouncedBackups::Expire() {
  std::vector<BackupLease> gone;
  {
    base::MutexLock lock(mutex_);
    const base::SteadyTime now = context_.env.Now();
    for (auto at = entries_.begin(); at != entries_.end();) {
      const bool over = now >= at->second.until;
      if (over) {
        gone.push_back(at->second.lease);
        ReleaseHold(at->second.lease);
      }
      at = over ? entries_.erase(at) : std::next(at);
    }
  }
  for (const BackupLease& lease : gone) {
    context_.events.Add(
        EventNumber::kSurrogateExpired, Severity::kWarning, lease.database,
        fmt::format("{} was not heard of any more, and is forgotten here", ToString(lease)));
  }
}

}  // namespace understudy::server
