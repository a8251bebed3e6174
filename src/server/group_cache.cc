// SPDX-License-Identifier: Apache-2.0
#include "server/group_cache.h"

#include <utility>

#include "base/diag.h"
#include "cluster/backup_plans.h"

namespace understudy::server {

void GroupCache::BeginRound() {
  const base::SteadyTime now = env_.Now();
  base::MutexLock lock(mutex_);
  last_round_ = now;
}

void GroupCache::Note(std::string_view changed_key) {
  using cluster::Registry;
  group_changed_ = group_changed_ || changed_key == Registry::kGroupKey ||
                   changed_key == Registry::kSettingsKey ||
                   changed_key.starts_with(Registry::kMaintenancePrefix);
  servers_changed_ = servers_changed_ || changed_key.starts_with(Registry::kServersPrefix) ||
                     changed_key.starts_with(Registry::kAlivePrefix);
  statuses_changed_ = statuses_changed_ || changed_key.starts_with(Registry::kStatusPrefix);
  using cluster::BackupPlans;
  plans_changed_ = plans_changed_ || changed_key.starts_with(BackupPlans::kRepositoriesPrefix) ||
                   changed_key.starts_with(BackupPlans::kSchedulesPrefix) ||
                   changed_key.starts_with(BackupPlans::kRunsPrefix);
}

void GroupCache::NoteAll() { group_changed_ = servers_changed_ = statuses_changed_ = true; }

void GroupCache::SetDatabases(std::vector<cluster::DatabaseRecord> databases) {
  next_.databases = std::move(databases);
  view_changed_ = true;
}

base::Status GroupCache::Refresh(cluster::Registry& registry) {
  const base::SteadyTime now = env_.Now();
  if (group_changed_) {
    ASSIGN_OR_RETURN(const cluster::GroupRecord group, registry.Group());
    next_.paused = group.paused;
    next_.failsafe = group.failsafe;
    ASSIGN_OR_RETURN(next_.settings, registry.Settings());
    ASSIGN_OR_RETURN(next_.maintenance, registry.Maintenance());
    group_changed_ = false;
    view_changed_ = true;
  }
  if (servers_changed_) {
    ASSIGN_OR_RETURN(next_.servers, registry.Servers());
    servers_changed_ = false;
    view_changed_ = true;
  }
  if (statuses_changed_ && now >= next_statuses_) {
    ASSIGN_OR_RETURN(next_.statuses, registry.Statuses());
    statuses_changed_ = false;
    view_changed_ = true;
    next_statuses_ = now + kStatusInterval;
    FollowEnds(now);
  }
  if (plans_changed_) RETURN_IF_ERROR(RefreshPlans(registry));
  std::shared_ptr<const web::GroupView> view;
  if (std::exchange(view_changed_, false)) view = std::make_shared<const web::GroupView>(next_);
  base::MutexLock lock(mutex_);
  if (view != nullptr) view_ = std::move(view);
  answered_ = now;
  return {};
}

// What cannot be understood of them, of a newer version, must not hide who is active.
base::Status GroupCache::RefreshPlans(cluster::Registry& registry) {
  base::Result<cluster::PlansView> plans = cluster::BackupPlans(registry.coordinator()).Read();
  if (!plans.ok() && plans.status().code() != base::Code::kCorruption) return plans.status();
  plans_changed_ = false;
  if (!plans.ok()) {
    base::Diag(base::DiagLevel::kWarning, "cluster", plans.status().message());
    return {};
  }
  next_.plans = std::move(*plans);
  view_changed_ = true;
  return {};
}

void GroupCache::FollowEnds(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  std::map<std::string, Published> published;
  for (const cluster::CopyStatusRecord& status : next_.statuses) {
    const cluster::DatabaseRecord* const database = next_.FindDatabase(status.database);
    if (database == nullptr || database->active != status.server) continue;
    Published& to = published[status.database];
    if (const auto before = published_.find(status.database); before != published_.end()) {
      to = std::move(before->second);
    }
    to.end = status.durable.seq;
    to.freshness.Heard(now, to.end);
  }
  published_.swap(published);
}

GroupCache::Behind GroupCache::BehindPublished(const std::string& database, base::Seq have) const {
  const base::SteadyTime now = env_.Now();
  base::MutexLock lock(mutex_);
  const auto found = published_.find(database);
  if (found == published_.end() || found->second.end <= have) return {};
  return {found->second.end.value - have.value, found->second.freshness.AgeAtLeast(now, have)};
}

std::shared_ptr<const web::GroupView> GroupCache::Get() const {
  base::MutexLock lock(mutex_);
  return view_;
}

std::optional<base::Duration> GroupCache::CoordinatorSilence() const {
  const base::SteadyTime now = env_.Now();
  base::MutexLock lock(mutex_);
  if (!answered_) return std::nullopt;
  return now - *answered_;
}

base::Duration GroupCache::RoundAge() const {
  const base::SteadyTime now = env_.Now();
  base::MutexLock lock(mutex_);
  return now - last_round_;
}

}  // namespace understudy::server
