// SPDX-License-Identifier: Apache-2.0
// GroupCache: what the registry had when the cluster thread last read it, and when it was heard
// of, for those who must answer without waiting for the coordinator.
//
// The cluster thread tells it of changes (Note) and lets it read what changed (Refresh); the
// copies' published states change every second or so and are read at most every kStatusInterval.
// Threading: Note and Refresh are confined to the cluster thread, the rest is thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "cluster/registry.h"
#include "env/env.h"
#include "server/freshness.h"
#include "web/status_source.h"

namespace understudy::server {

class GroupCache {
 public:
  static constexpr base::Duration kStatusInterval = std::chrono::milliseconds(500);

  explicit GroupCache(env::Env& env) : env_(env), last_round_(env.Now()) {}

  // --- cluster thread ---
  void BeginRound() EXCLUDES_LOCK(mutex_);
  void Note(std::string_view changed_key);
  void NoteAll();
  void SetDatabases(std::vector<cluster::DatabaseRecord> databases);
  // Reads what changed and says that the coordinator answered. An error leaves what was known.
  base::Status Refresh(cluster::Registry& registry) EXCLUDES_LOCK(mutex_);

  // --- any thread ---
  std::shared_ptr<const web::GroupView> Get() const EXCLUDES_LOCK(mutex_);
  std::optional<base::Duration> CoordinatorSilence() const EXCLUDES_LOCK(mutex_);
  base::Duration RoundAge() const EXCLUDES_LOCK(mutex_);
  // What a copy that has everything up to `have` lacks, by what the active copy's server published.
  // (A connection that is slow tells late how much is on its way; this comes another way.)
  struct Behind {
    uint64_t commits = 0;
    base::Duration age{0};  // at least: what was published before this server looked is not known
  };
  Behind BehindPublished(const std::string& database, base::Seq have) const EXCLUDES_LOCK(mutex_);

 private:
  struct Published {
    base::Seq end;
    Freshness freshness{base::Duration::max()};  // published when it changes: silence is no age
  };

  base::Status RefreshPlans(cluster::Registry& registry);
  void FollowEnds(base::SteadyTime now) EXCLUDES_LOCK(mutex_);

  env::Env& env_;

  // Confined to the cluster thread.
  web::GroupView next_;
  bool group_changed_ = true;
  bool servers_changed_ = true;
  bool statuses_changed_ = true;
  bool plans_changed_ = true;
  bool view_changed_ = true;
  base::SteadyTime next_statuses_{};

  mutable base::Mutex mutex_;
  std::shared_ptr<const web::GroupView> view_ GUARDED_BY(mutex_);
  std::optional<base::SteadyTime> answered_ GUARDED_BY(mutex_);
  base::SteadyTime last_round_ GUARDED_BY(mutex_);
  std::map<std::string, Published> published_ GUARDED_BY(mutex_);  // by database
};

}  // namespace understudy::server
