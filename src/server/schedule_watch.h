// SPDX-License-Identifier: Apache-2.0
// ScheduleWatch: does what the group's schedules say is due, for the databases whose copy here is
// the one that is backed up (docs/design/0040-repositories-and-schedules.md).
//
// A run is claimed in the coordinator before it is begun and its end is written there, so that each
// is done once, and whoever asks any server sees how it went. A backup runs as any other session
// (backup_jobs.h) and is only followed here; after a restart of the daemon it is found again by its
// id. Verifying, drills and pruning are done one after the other on the thread "chores".
// Threading: thread-safe; its work is done on its threads "schedule" and "chores".
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/thread.h"
#include "cluster/backup_plans.h"
#include "server/admin.h"
#include "server/backup_jobs.h"
#include "server/context.h"
#include "server/group_cache.h"

namespace understudy::server {

class ScheduleWatch {
 public:
  struct Parts {
    const GroupCache& cache;
    Admin& admin;
    BackupJobs& backups;
    std::string instance;  // cluster::InstanceOf this server
  };
  ScheduleWatch(const ServerContext& context, const Parts& parts);
  ~ScheduleWatch();  // as Stop
  ScheduleWatch(const ScheduleWatch&) = delete;
  ScheduleWatch& operator=(const ScheduleWatch&) = delete;
  void Stop();

 private:
  using Key = std::pair<std::string, std::string>;  // schedule, database
  struct Outcome {
    base::Status status;
    std::string result;
  };
  struct Due {
    const cluster::ScheduleRecord& schedule;
    const cluster::DatabaseRecord& database;
    const cluster::RunRecord* last;  // null: there was none
    cluster::NextRun next;
  };
  struct Chore {
    Key key;
    cluster::ScheduleRecord schedule;
    std::optional<Outcome> outcome;
  };

  void Run();
  void RunChores();
  void Look();
  void LookAt(const Due& due);
  bool IsOurs(const Due& due);
  bool LeaveToOthers(const Due& due);
  bool Adopt(const Due& due);
  void TellLate(const Due& due, const std::string& why);
  base::Result<bool> Claim(const Due& due);
  void Begin(const Due& due);
  void BeginBackup(const Due& due);
  Outcome DoChore(const Chore& chore);
  Outcome Verify(const Chore& chore);
  void FollowBackups();
  void FollowChore();
  void WriteEnds();
  void End(const Key& key, Outcome outcome);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  const Parts parts_;

  // Used by the thread "schedule" only.
  cluster::BackupPlans plans_;
  std::map<Key, std::string> sessions_;  // backups that are followed, by their ids
  std::map<Key, Outcome> ended_;         // until the coordinator has it
  struct Choice {
    base::SteadyTime until{};
    bool ours = false;
  };
  std::map<Key, Choice> choices_;  // by database and sources
  std::map<Key, base::WallTime> told_late_;
  std::map<Key, base::SteadyTime> interrupted_;  // runs of others, since when they are seen so

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::optional<Chore> chore_ GUARDED_BY(mutex_);  // the one that is done, or was
  base::Thread thread_;
  base::Thread chores_;
};

}  // namespace understudy::server
