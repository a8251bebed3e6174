// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_plans.h"

#include <fmt/format.h>

#include <algorithm>

#include "cluster/registry.h"

namespace understudy::cluster {
namespace {

std::string RunKey(const std::string& schedule, const std::string& database) {
  return fmt::format("{}{}/{}", BackupPlans::kRunsPrefix, schedule, database);
}

base::Status LostEveryRound(const std::string& what) {
  return base::Busy(fmt::format("{} was changed by others {} times meanwhile: try again", what,
                                BackupPlans::kAttemptsMax));
}

template <typename Record>
using Reader = base::Result<Record> (*)(std::string_view, const std::string&);

template <typename Record>
base::Result<std::vector<Record>> List(Coordinator& coordinator, const char* prefix,
                                       Reader<Record> read) {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator.List(prefix));
  std::vector<Record> records;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(Record record, read(pair.key, pair.value));
    record.modified = pair.modified;
    records.push_back(std::move(record));
  }
  return records;
}

template <typename Record>
base::Status Create(Coordinator& coordinator, const std::string& key, const Record& record,
                    std::string_view what) {
  ASSIGN_OR_RETURN(const TxnResult result,
                   coordinator.Txn({{key, 0}}, {Operation::Put(key, ToJson(record))}));
  if (result.committed) return {};
  return base::AlreadyExists(
      fmt::format("a {} called {} is in this group already", what, record.name));
}

template <typename Record, typename Edit, typename ListAll>
base::Result<Record> Update(Coordinator& coordinator, const std::string& prefix, const char* what,
                            const std::string& name, const Edit& edit, const ListAll& list) {
  for (int attempt = 0; attempt < BackupPlans::kAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(const std::vector<Record> records, list());
    ASSIGN_OR_RETURN(Record record, FindByName(what, records, name));
    RETURN_IF_ERROR(edit(record));
    ASSIGN_OR_RETURN(const TxnResult result,
                     coordinator.Txn({{prefix + name, record.modified}},
                                     {Operation::Put(prefix + name, ToJson(record))}));
    if (!result.committed) continue;
    record.modified = result.revision;
    return record;
  }
  return LostEveryRound(name);
}

}  // namespace

base::Result<PlansView> BackupPlans::Read() {
  PlansView view;
  ASSIGN_OR_RETURN(view.repositories, Repositories());
  ASSIGN_OR_RETURN(view.schedules, Schedules());
  ASSIGN_OR_RETURN(view.runs, List<RunRecord>(coordinator_, kRunsPrefix, RunFromJson));
  return view;
}

base::Result<std::vector<RepositoryRecord>> BackupPlans::Repositories() {
  return List<RepositoryRecord>(coordinator_, kRepositoriesPrefix, RepositoryFromJson);
}

base::Status BackupPlans::CreateRepository(const RepositoryRecord& record) {
  ASSIGN_OR_RETURN(const std::vector<RepositoryRecord> all, Repositories());
  if (all.size() >= kRepositoriesMax) {
    return base::InvalidArgument(
        fmt::format("a group has {} repositories at most; remove one "
                    "first: understudy repository remove NAME",
                    kRepositoriesMax));
  }
  return Create(coordinator_, kRepositoriesPrefix + record.name, record, "repository");
}

base::Result<RepositoryRecord> BackupPlans::UpdateRepository(const std::string& name,
                                                             const RepositoryEdit& edit) {
  return Update<RepositoryRecord>(coordinator_, kRepositoriesPrefix, "repository", name, edit,
                                  [this] { return Repositories(); });
}

base::Status BackupPlans::RemoveRepository(const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<RepositoryRecord> all, Repositories());
  RETURN_IF_ERROR(FindByName("repository", all, name).status());
  ASSIGN_OR_RETURN(const std::vector<ScheduleRecord> schedules, Schedules());
  for (const ScheduleRecord& schedule : schedules) {
    if (schedule.repository != name) continue;
    return base::Busy(
        fmt::format("schedule {0} uses repository {1}\nremove it first: understudy "
                    "schedule remove {0}",
                    schedule.name, name));
  }
  return coordinator_.Txn({}, {Operation::Delete(kRepositoriesPrefix + name)}).status();
}

base::Result<std::vector<ScheduleRecord>> BackupPlans::Schedules() {
  return List<ScheduleRecord>(coordinator_, kSchedulesPrefix, ScheduleFromJson);
}

base::Status BackupPlans::CreateSchedule(const ScheduleRecord& record) {
  ASSIGN_OR_RETURN(const std::vector<ScheduleRecord> all, Schedules());
  if (all.size() >= kSchedulesMax) {
    return base::InvalidArgument(
        fmt::format("a group has {} schedules at most; remove one first: "
                    "understudy schedule remove NAME",
                    kSchedulesMax));
  }
  return Create(coordinator_, kSchedulesPrefix + record.name, record, "schedule");
}

base::Result<ScheduleRecord> BackupPlans::UpdateSchedule(const std::string& name,
                                                         const ScheduleEdit& edit) {
  return Update<ScheduleRecord>(coordinator_, kSchedulesPrefix, "schedule", name, edit,
                                [this] { return Schedules(); });
}

base::Status BackupPlans::RemoveSchedule(const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<ScheduleRecord> all, Schedules());
  RETURN_IF_ERROR(FindByName("schedule", all, name).status());
  RETURN_IF_ERROR(coordinator_.Txn({}, {Operation::Delete(kSchedulesPrefix + name)}).status());
  ASSIGN_OR_RETURN(const std::vector<KeyValue> runs, coordinator_.List(RunKey(name, "")));
  std::vector<Operation> operations;
  for (const KeyValue& pair : runs) {
    operations.push_back(Operation::Delete(pair.key));
    if (operations.size() < kTxnOperationsMax) continue;
    RETURN_IF_ERROR(coordinator_.Txn({}, operations).status());
    operations.clear();
  }
  if (operations.empty()) return {};
  return coordinator_.Txn({}, operations).status();
}

base::Result<bool> BackupPlans::PutRun(RunRecord& record) {
  record.message.resize(std::min(record.message.size(), kRunMessageBytesMax));
  const std::string key = RunKey(record.schedule, record.database);
  ASSIGN_OR_RETURN(const TxnResult result, coordinator_.Txn({{key, record.modified}},
                                                            {Operation::Put(key, ToJson(record))}));
  if (result.committed) record.modified = result.revision;
  return result.committed;
}

base::Result<RunRecord> BackupPlans::UpdateRun(const std::string& schedule,
                                               const std::string& database, const RunEdit& edit) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    base::Result<RunRecord> record = FindRun(schedule, database);
    if (record.status().code() == base::Code::kNotFound) {
      record = RunRecord{.schedule = schedule, .database = database};
    }
    RETURN_IF_ERROR(record.status());
    edit(*record);
    ASSIGN_OR_RETURN(const bool put, PutRun(*record));
    if (put) return record;
  }
  return LostEveryRound(RunKey(schedule, database));
}

base::Status BackupPlans::AskForRun(const std::string& schedule, const std::string& database,
                                    base::WallTime now) {
  return UpdateRun(schedule, database,
                   [&](RunRecord& run) {
                     // Later than the last one began, by whosever clock.
                     run.asked.unix_ms = std::max(now.unix_ms, run.begun.unix_ms + 1);
                   })
      .status();
}

base::Result<RunRecord> BackupPlans::FindRun(const std::string& schedule,
                                             const std::string& database) {
  const std::string key = RunKey(schedule, database);
  ASSIGN_OR_RETURN(const KeyValue pair, coordinator_.Get(key));
  ASSIGN_OR_RETURN(RunRecord record, RunFromJson(pair.key, pair.value));
  record.modified = pair.modified;
  return record;
}

}  // namespace understudy::cluster
