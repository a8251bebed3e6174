// SPDX-License-Identifier: Apache-2.0
// BackupPlans: where the group's backups go and when they are taken, as the coordinator keeps it.
//
//   repositories/<name>            RepositoryRecord
//   schedules/<name>               ScheduleRecord
//   runs/<schedule>/<database>     RunRecord: the last run, which is also the claim of one
//
// A run is claimed by putting its record if nobody has put another one meanwhile, so each is done
// once, by one server, however many think that it is theirs to do
// (docs/design/0040-repositories-and-schedules.md).
// Threading: thread-safe. Errors: the coordinator's; kNotFound with the
// names that are known; kBusy when every round of a change was lost.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cluster/backup_plan_records.h"
#include "cluster/coordinator.h"

namespace understudy::cluster {

class BackupPlans {
 public:
  static constexpr int kAttemptsMax = 50;
  static constexpr const char* kRepositoriesPrefix = "repositories/";
  static constexpr const char* kSchedulesPrefix = "schedules/";
  static constexpr const char* kRunsPrefix = "runs/";

  explicit BackupPlans(Coordinator& coordinator) : coordinator_(coordinator) {}

  base::Result<PlansView> Read();

  base::Result<std::vector<RepositoryRecord>> Repositories();
  base::Status CreateRepository(const RepositoryRecord& record);  // kAlreadyExists
  using RepositoryEdit = std::function<base::Status(RepositoryRecord&)>;
  base::Result<RepositoryRecord> UpdateRepository(const std::string& name,
                                                  const RepositoryEdit& edit);
  // kBusy names a schedule that uses it.
  base::Status RemoveRepository(const std::string& name);

  base::Result<std::vector<ScheduleRecord>> Schedules();
  base::Status CreateSchedule(const ScheduleRecord& record);  // kAlreadyExists
  using ScheduleEdit = std::function<base::Status(ScheduleRecord&)>;
  base::Result<ScheduleRecord> UpdateSchedule(const std::string& name, const ScheduleEdit& edit);
  base::Status RemoveSchedule(const std::string& name);  // and what is known of its runs

  // False: somebody has put another record since `record.modified`. Sets record.modified.
  base::Result<bool> PutRun(RunRecord& record);
  // A new record where there is none.
  using RunEdit = std::function<void(RunRecord&)>;
  base::Result<RunRecord> UpdateRun(const std::string& schedule, const std::string& database,
                                    const RunEdit& edit);
  // It is due now, whatever the calendar says.
  base::Status AskForRun(const std::string& schedule, const std::string& database,
                         base::WallTime now);
  base::Result<RunRecord> FindRun(const std::string& schedule, const std::string& database);

 private:
  Coordinator& coordinator_;
};

}  // namespace understudy::cluster
