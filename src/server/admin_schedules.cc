// SPDX-License-Identifier: Apache-2.0
// The group's schedules: when backups are taken, verified, restored on trial and pruned
// (docs/design/0040-repositories-and-schedules.md). server/schedule_watch.h does what is due.
#include <fmt/format.h>

#include <algorithm>

#include "cluster/backup_plans.h"
#include "cluster/backup_source.h"
#include "cluster/calendar.h"
#include "server/admin.h"

namespace understudy::server {
namespace {

using cluster::BackupPlans;
using cluster::EventNumber;
using cluster::RunRecord;
using cluster::ScheduleRecord;
using cluster::Severity;

v1::Schedule ToProto(const ScheduleRecord& record) {
  v1::Schedule to;
  to.set_name(record.name);
  to.set_chore(std::string(cluster::ChoreName(record.chore)));
  to.set_when(record.when);
  for (const std::string& database : record.databases) to.add_databases(database);
  to.set_repository(record.repository);
  to.set_from(record.from);
  to.set_jitter_ms(record.jitter / std::chrono::milliseconds(1));
  to.set_paused(record.paused);
  to.set_created_ms(record.created.unix_ms);
  return to;
}

void Fill(const RunRecord& run, v1::ScheduledRun& to) {
  to.set_state(std::string(cluster::RunStateName(run.state)));
  to.set_due_ms(run.due.unix_ms);
  to.set_begun_ms(run.begun.unix_ms);
  to.set_ended_ms(run.ended.unix_ms);
  to.set_server(run.server);
  to.set_attempts(run.attempts);
  to.set_result(run.result);
  to.set_message(run.message);
}

base::Result<base::Duration> JitterFrom(int64_t milliseconds) {
  const base::Duration jitter = std::chrono::milliseconds(milliseconds);
  if (milliseconds >= 0 && jitter <= cluster::kJitterMax) return jitter;
  return base::InvalidArgument(fmt::format("the jitter is {} ms; allowed are 0 to {} h",
                                           milliseconds,
                                           cluster::kJitterMax / std::chrono::hours(1)));
}

}  // namespace

base::Status Admin::CheckSchedule(const ScheduleRecord& record) {
  RETURN_IF_ERROR(base::CheckName("name of a schedule", record.name));
  RETURN_IF_ERROR(cluster::Calendar::Parse(record.when).status());
  if (!record.from.empty()) RETURN_IF_ERROR(cluster::ParseSourcePolicy(record.from).status());
  RETURN_IF_ERROR(RepositoryPath(record.repository).status());
  for (const std::string& database : record.databases) {
    RETURN_IF_ERROR(context_.registry.FindDatabase(database).status());
  }
  return {};
}

base::Result<ScheduleRecord> Admin::ToRecord(const v1::Schedule& schedule) {
  const std::optional<cluster::Chore> chore = cluster::ChoreFromName(schedule.chore());
  if (!chore) {
    return base::InvalidArgument(
        fmt::format("\"{}\" cannot be scheduled; that can be full, copy, incremental, "
                    "differential, verify, drill, prune",
                    schedule.chore()));
  }
  ScheduleRecord record{.name = schedule.name(),
                        .chore = *chore,
                        .when = schedule.when(),
                        .databases = {schedule.databases().begin(), schedule.databases().end()},
                        .repository = schedule.repository(),
                        .from = schedule.from(),
                        .created = context_.env.WallNow()};
  ASSIGN_OR_RETURN(record.jitter, JitterFrom(schedule.jitter_ms()));
  RETURN_IF_ERROR(CheckSchedule(record));
  return record;
}

base::Result<v1::ListSchedulesResponse> Admin::AddSchedule(const v1::AddScheduleRequest& request) {
  ASSIGN_OR_RETURN(const ScheduleRecord record, ToRecord(request.schedule()));
  RETURN_IF_ERROR(BackupPlans(context_.registry.coordinator()).CreateSchedule(record));
  context_.events.Add(EventNumber::kSettingChanged, Severity::kInfo, "",
                      fmt::format("the group: schedule {} does {} at \"{}\"", record.name,
                                  cluster::ChoreName(record.chore), record.when));
  v1::ListSchedulesRequest list;
  list.set_name(record.name);
  return ListSchedules(list);
}

base::Result<v1::ListSchedulesResponse> Admin::SetSchedule(const v1::SetScheduleRequest& request) {
  base::Duration jitter{};
  if (request.has_jitter_ms()) {
    ASSIGN_OR_RETURN(jitter, JitterFrom(request.jitter_ms()));
  }
  const auto edit = [&](ScheduleRecord& record) {
    // What was due before the change is not made up for.
    record.created = context_.env.WallNow();
    if (request.has_when()) record.when = request.when();
    if (request.has_paused()) record.paused = request.paused();
    if (request.has_repository()) record.repository = request.repository();
    if (request.has_from()) record.from = request.from();
    if (request.has_jitter_ms()) record.jitter = jitter;
    return CheckSchedule(record);
  };
  ASSIGN_OR_RETURN(
      const ScheduleRecord record,
      BackupPlans(context_.registry.coordinator()).UpdateSchedule(request.name(), edit));
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, "",
      fmt::format("the group: schedule {} does {} at \"{}\"{}", record.name,
                  cluster::ChoreName(record.chore), record.when, record.paused ? ", paused" : ""));
  v1::ListSchedulesRequest list;
  list.set_name(record.name);
  return ListSchedules(list);
}

base::Result<v1::RemoveScheduleResponse> Admin::RemoveSchedule(
    const v1::RemoveScheduleRequest& request) {
  RETURN_IF_ERROR(BackupPlans(context_.registry.coordinator()).RemoveSchedule(request.name()));
  context_.events.Add(EventNumber::kSettingChanged, Severity::kInfo, "",
                      fmt::format("the group: schedule {} is removed", request.name()));
  return v1::RemoveScheduleResponse();
}

base::Result<v1::ListSchedulesResponse> Admin::ListSchedules(
    const v1::ListSchedulesRequest& request) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::PlansView plans, group.Plans());
  ASSIGN_OR_RETURN(const std::vector<cluster::DatabaseRecord> databases, group.Databases());
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, group.Servers());
  if (!request.name().empty()) {
    RETURN_IF_ERROR(cluster::FindByName("schedule", plans.schedules, request.name()).status());
  }
  const std::map<std::string, std::string> instances = cluster::InstancesOf(servers);
  v1::ListSchedulesResponse response;
  response.set_coordinator_silence_ms(group.silence_ms());
  for (const ScheduleRecord& schedule : plans.schedules) {
    if (!request.name().empty() && schedule.name != request.name()) continue;
    *response.add_schedules() = ToProto(schedule);
    for (const cluster::DatabaseRecord& database : databases) {
      if (!schedule.Covers(database.name)) continue;
      v1::ScheduledRun& to = *response.add_runs();
      to.set_schedule(schedule.name);
      to.set_database(database.name);
      const RunRecord* const last = plans.FindRun(schedule.name, database.name);
      if (last != nullptr && last->begun.unix_ms != 0) Fill(*last, to);
      const auto next = cluster::NextRunOf(schedule, database.name, last, instances);
      if (next) to.set_next_ms(next->begin.unix_ms);
    }
  }
  return response;
}

base::Result<v1::ListSchedulesResponse> Admin::RunSchedule(const v1::RunScheduleRequest& request) {
  BackupPlans plans(context_.registry.coordinator());
  ASSIGN_OR_RETURN(const std::vector<ScheduleRecord> schedules, plans.Schedules());
  ASSIGN_OR_RETURN(const ScheduleRecord schedule,
                   cluster::FindByName("schedule", schedules, request.name()));
  ASSIGN_OR_RETURN(const std::vector<cluster::DatabaseRecord> databases,
                   context_.registry.Databases());
  bool any = false;
  for (const cluster::DatabaseRecord& database : databases) {
    if (!schedule.Covers(database.name)) continue;
    if (!request.database().empty() && database.name != request.database()) continue;
    any = true;
    RETURN_IF_ERROR(plans.AskForRun(schedule.name, database.name, context_.env.WallNow()));
  }
  if (!any) {
    return base::NotFound(fmt::format("schedule {} covers no such database", schedule.name));
  }
  v1::ListSchedulesRequest list;
  list.set_name(schedule.name);
  return ListSchedules(list);
}

}  // namespace understudy::server
