// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_plan_records.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>

#include "base/ids.h"
#include "cluster/calendar.h"
#include "cluster/record_fields.h"

namespace understudy::cluster {
namespace {

constexpr std::array<std::string_view, 7> kChores = {
    "full", "copy", "incremental", "differential", "verify", "drill", "prune"};
constexpr std::array<std::string_view, 3> kRunStates = {"running", "done", "failed"};
constexpr base::Duration kRetryAfter = std::chrono::minutes(5);  // times the attempts made
constexpr uint64_t kJitterSecondsMax = kJitterMax / std::chrono::seconds(1);

template <typename Enum, size_t kNames>
std::optional<Enum> FromName(const std::array<std::string_view, kNames>& names,
                             std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

base::WallTime After(base::WallTime time, base::Duration length) {
  return {time.unix_ms + length / std::chrono::milliseconds(1)};
}

// The same on each server and after a restart.
base::Duration JitterOf(const ScheduleRecord& schedule, const std::string& database,
                        base::WallTime due) {
  const int64_t most = schedule.jitter / std::chrono::milliseconds(1);
  if (most <= 0) return {};
  const std::string seed = fmt::format("{}/{}/{}", schedule.name, database, due.unix_ms);
  const uint64_t hash = XXH3_64bits(seed.data(), seed.size());
  return std::chrono::milliseconds(hash % static_cast<uint64_t>(most + 1));
}

std::optional<NextRun> ByCalendar(const ScheduleRecord& schedule, const std::string& database,
                                  base::WallTime after) {
  if (schedule.paused) return std::nullopt;
  const base::Result<Calendar> calendar = Calendar::Parse(schedule.when);
  if (!calendar.ok()) return std::nullopt;  // of a newer version
  const std::optional<base::WallTime> due = calendar->Next(after);
  if (!due) return std::nullopt;
  return NextRun{.due = *due, .begin = After(*due, JitterOf(schedule, database, *due))};
}

// What is left of a run that did not end well.
std::optional<NextRun> AnotherAttempt(const RunRecord& last) {
  if (last.state == RunState::kDone || last.attempts >= RunRecord::kAttemptsMax) {
    return std::nullopt;
  }
  const base::WallTime begin =
      last.state == RunState::kRunning
          ? last.begun  // its daemon is gone: at once
          : After(last.ended, kRetryAfter * static_cast<int64_t>(last.attempts));
  return NextRun{.due = last.due, .begin = begin, .attempt = last.attempts + 1};
}

}  // namespace

std::string RepositoryRecord::FullLocation() const {
  std::string full = location;
  const auto add = [&](std::string_view parameter, const std::string& value) {
    full +=
        fmt::format("{}{}={}", full.find('?') == std::string::npos ? '?' : '&', parameter, value);
  };
  if (rate != 0) add("rate", std::to_string(rate));
  if (!key_file.empty()) add("key", key_file);
  return full;
}

bool IsRepositoryName(std::string_view text) {
  return base::CheckName("name of a repository", text).ok();
}

std::string_view ChoreName(Chore chore) { return kChores[static_cast<size_t>(chore)]; }
std::optional<Chore> ChoreFromName(std::string_view name) { return FromName<Chore>(kChores, name); }
std::string_view RunStateName(RunState state) { return kRunStates[static_cast<size_t>(state)]; }

bool ScheduleRecord::Covers(std::string_view database) const {
  return databases.empty() || std::ranges::find(databases, database) != databases.end();
}

const RunRecord* PlansView::FindRun(std::string_view schedule, std::string_view database) const {
  const auto found = std::ranges::find_if(runs, [&](const RunRecord& run) {
    return run.schedule == schedule && run.database == database;
  });
  return found == runs.end() ? nullptr : &*found;
}

std::map<std::string, std::string> InstancesOf(const std::vector<ServerRecord>& servers) {
  std::map<std::string, std::string> instances;
  for (const ServerRecord& server : servers) {
    if (server.alive) instances[server.name] = InstanceOf(server);
  }
  return instances;
}

std::string InstanceOf(const ServerRecord& server) { return base::ToRfc3339(server.started); }

std::optional<NextRun> NextRunOf(const ScheduleRecord& schedule, const std::string& database,
                                 const RunRecord* last,
                                 const std::map<std::string, std::string>& instances) {
  if (last == nullptr) return ByCalendar(schedule, database, schedule.created);
  if (last->state == RunState::kRunning) {
    const auto found = instances.find(last->server);
    if (found != instances.end() && found->second == last->instance) return std::nullopt;
  }
  if (last->asked > last->begun) return NextRun{.due = last->asked, .begin = last->asked};
  const auto next = ByCalendar(schedule, database, std::max(schedule.created, last->begun));
  const auto again = schedule.paused ? std::nullopt : AnotherAttempt(*last);
  if (!again || (next && next->begin <= again->begin)) return next;
  return again;
}

std::string ToJson(const RepositoryRecord& record) {
  return DumpRecord({{"name", record.name},
                     {"location", record.location},
                     {"rate", record.rate},
                     {"key_file", record.key_file},
                     {"keep_full", record.keep_full},
                     {"keep_days", record.keep_days},
                     {"created", base::ToRfc3339(record.created)}});
}

std::string ToJson(const ScheduleRecord& record) {
  return DumpRecord({{"name", record.name},
                     {"chore", ChoreName(record.chore)},
                     {"when", record.when},
                     {"databases", record.databases},
                     {"repository", record.repository},
                     {"from", record.from},
                     {"jitter_s", static_cast<uint64_t>(record.jitter / std::chrono::seconds(1))},
                     {"paused", record.paused},
                     {"created", base::ToRfc3339(record.created)}});
}

std::string ToJson(const RunRecord& record) {
  return DumpRecord({{"schedule", record.schedule},
                     {"database", record.database},
                     {"state", RunStateName(record.state)},
                     {"due", base::ToRfc3339(record.due)},
                     {"begun", base::ToRfc3339(record.begun)},
                     {"ended", base::ToRfc3339(record.ended)},
                     {"asked", base::ToRfc3339(record.asked)},
                     {"server", record.server},
                     {"instance", record.instance},
                     {"attempts", record.attempts},
                     {"result", record.result},
                     {"message", record.message}});
}

base::Result<RepositoryRecord> RepositoryFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  RepositoryRecord record;
  fields.Get("name", record.name);
  fields.Get("location", record.location);
  fields.Get("rate", record.rate);
  fields.Get("key_file", record.key_file);
  uint64_t keep_full = 0;
  uint64_t keep_days = 0;
  fields.Get("keep_full", keep_full);
  fields.Get("keep_days", keep_days);
  fields.Get("created", record.created);
  fields.Require(IsRepositoryName(record.name) && !record.location.empty(),
                 "lacks a name or location");
  fields.Require(keep_full <= UINT32_MAX && keep_days <= UINT32_MAX, "keeps too many");
  RETURN_IF_ERROR(fields.status());
  record.keep_full = static_cast<uint32_t>(keep_full);
  record.keep_days = static_cast<uint32_t>(keep_days);
  return record;
}

base::Result<ScheduleRecord> ScheduleFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  ScheduleRecord record;
  std::string chore;
  uint64_t jitter_s = 0;
  fields.Get("name", record.name);
  fields.Get("chore", chore);
  fields.Get("when", record.when);
  if (const Json* databases = fields.Array("databases"); databases != nullptr) {
    for (const Json& name : *databases) {
      fields.Require(name.is_string(), "has a database that is no name");
      if (name.is_string()) record.databases.push_back(name.get<std::string>());
    }
  }
  fields.Get("repository", record.repository);
  fields.Get("from", record.from);
  fields.Get("jitter_s", jitter_s);
  fields.Get("paused", record.paused);
  fields.Get("created", record.created);
  const std::optional<Chore> known = ChoreFromName(chore);
  fields.Require(known.has_value(), "does something that this version does not know");
  fields.Require(!record.name.empty(), "lacks a name");
  RETURN_IF_ERROR(fields.status());
  record.chore = *known;
  record.jitter = std::chrono::seconds(std::min(jitter_s, kJitterSecondsMax));
  return record;
}

base::Result<RunRecord> RunFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  RunRecord record;
  std::string state;
  fields.Get("schedule", record.schedule);
  fields.Get("database", record.database);
  fields.Get("state", state);
  fields.Get("due", record.due);
  fields.Get("begun", record.begun);
  fields.Get("ended", record.ended);
  fields.Get("asked", record.asked);
  fields.Get("server", record.server);
  fields.Get("instance", record.instance);
  fields.Get("attempts", record.attempts);
  fields.Get("result", record.result);
  fields.Get("message", record.message);
  const auto known = FromName<RunState>(kRunStates, state);
  fields.Require(known.has_value(), "has a state that this version does not know");
  RETURN_IF_ERROR(fields.status());
  record.state = *known;
  return record;
}

}  // namespace understudy::cluster
