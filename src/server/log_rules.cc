// SPDX-License-Identifier: Apache-2.0
#include "server/log_rules.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace understudy::server {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr std::string_view kBackupHoldPrefix = "backup ";

}  // namespace

bool IsBackupHold(std::string_view name) { return name.starts_with(kBackupHoldPrefix); }

log::Hold BackupHold(const std::string& id, const std::string& server, base::Position from) {
  return {
      std::string(kBackupHoldPrefix) + id,
      fmt::format("the backup of the copy on {} runs and began at {}; goes away when it ends, or "
                  "is not heard of for {}",
                  server, base::ToString(from), cluster::kBackupLease),
      from.seq};
}

void LogRules::SetGroup(std::shared_ptr<const web::GroupView> group) {
  base::MutexLock lock(mutex_);
  group_ = std::move(group);
}

void LogRules::SetHold(const std::string& database, const log::Hold& hold) {
  base::MutexLock lock(mutex_);
  holds_[database][hold.name] = hold;
}

void LogRules::ReleaseHold(const std::string& database, const std::string& name) {
  base::MutexLock lock(mutex_);
  const auto found = holds_.find(database);
  if (found == holds_.end()) return;
  found->second.erase(name);
  if (found->second.empty()) holds_.erase(found);
}

LogRules::Of LogRules::Database(const std::string& name, const std::string& here) const {
  std::shared_ptr<const web::GroupView> group;
  Of rules;
  {
    base::MutexLock lock(mutex_);
    group = group_;
    if (const auto found = holds_.find(name); found != holds_.end()) {
      for (const auto& [unused, hold] : found->second) rules.holds.push_back(hold);
    }
  }
  const cluster::GroupSettings settings = group ? group->settings : cluster::GroupSettings();
  rules.straggler_bytes_max = settings.Get(cluster::kStragglerBound) * kMiB;
  rules.disk_free_min = settings.Get(cluster::kLogDiskFreeMin) * kMiB;
  const cluster::DatabaseRecord* const record = group ? group->FindDatabase(name) : nullptr;
  if (record == nullptr) return rules;
  rules.known = true;
  rules.circular = record->circular_logging;
  rules.backed_up = record->backed_up;
  rules.backed_up_to = record->BackedUpTo();
  for (const cluster::CopyStatusRecord& status : group->statuses) {
    if (status.database != name || status.server == here || status.server == record->active) {
      continue;
    }
    const cluster::CopyRecord* const copy = record->FindCopy(status.server);
    if (copy == nullptr || copy->incarnation != status.incarnation) continue;
    if (status.durable.seq.value > 0) rules.passives[status.server] = status.durable;
  }
  return rules;
}

}  // namespace understudy::server
