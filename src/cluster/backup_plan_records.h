// SPDX-License-Identifier: Apache-2.0
// Where the group's backups go and when they are taken, as typed records, their JSON
// (docs/formats/registry.md), and when a schedule is to be done next
// (docs/design/0040-repositories-and-schedules.md).
//
// Unknown fields are ignored, missing ones have their defaults; a field of the wrong type is
// kCorruption that names record and field. Threading: values and pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cluster/coordinator.h"
#include "cluster/records.h"

namespace understudy::cluster {

inline constexpr size_t kRepositoriesMax = 64;
inline constexpr size_t kSchedulesMax = 64;
inline constexpr base::Duration kJitterMax = std::chrono::hours(12);
inline constexpr size_t kRunMessageBytesMax = 1000;

// A repository of the group: every server knows it by this name.
struct RepositoryRecord {
  std::string name = {};
  std::string location = {};  // store/location.h, without the two that follow
  uint64_t rate = 0;          // bytes a second that a server writes and reads there; 0: no limit
  std::string key_file = {};  // of the key, on each server; empty: not encrypted
  // What a prune leaves (backup/prune.h) when nobody says otherwise; 0 and 0: nothing is pruned.
  uint32_t keep_full = 0;
  uint32_t keep_days = 0;
  base::WallTime created = {};
  Revision modified = 0;  // not in the record: for compare-and-set

  // With everything, as store/location.h reads it.
  std::string FullLocation() const;
};
// A word that is no path: what --repo takes for the name of a repository of the group.
bool IsRepositoryName(std::string_view text);

enum class Chore : uint8_t { kFull, kCopy, kIncremental, kDifferential, kVerify, kDrill, kPrune };
std::string_view ChoreName(Chore chore);
std::optional<Chore> ChoreFromName(std::string_view name);
inline bool IsBackup(Chore chore) { return chore <= Chore::kDifferential; }

struct ScheduleRecord {
  std::string name = {};
  Chore chore = Chore::kFull;
  std::string when = {};                    // cluster/calendar.h
  std::vector<std::string> databases = {};  // empty: all, also later ones
  std::string repository = {};              // a name or location; empty: the default
  std::string from = {};                    // sources of a backup; empty: the group's policy
  base::Duration jitter{};  // it begins up to so much later, each database at another moment
  bool paused = false;
  base::WallTime created = {};  // or resumed: nothing before it was missed
  Revision modified = 0;

  bool Covers(std::string_view database) const;
};

enum class RunState : uint8_t { kRunning, kDone, kFailed };
std::string_view RunStateName(RunState state);

struct RunRecord {
  static constexpr uint64_t kAttemptsMax = 3;

  std::string schedule = {};
  std::string database = {};
  RunState state = RunState::kDone;
  base::WallTime due = {};    // of this run
  base::WallTime begun = {};  // nothing before it is due any more
  base::WallTime ended = {};  // 0 while it runs
  base::WallTime asked = {};  // by a person, to run it now
  std::string server = {};    // that does it, or did
  std::string instance = {};  // of that daemon's run
  uint64_t attempts = 0;      // for this due time
  std::string result = {};    // id of the backup; of a prune what went
  std::string message = {};   // of a failure
  Revision modified = 0;      // 0: not in the coordinator
};

std::string ToJson(const RepositoryRecord& record);
std::string ToJson(const ScheduleRecord& record);
std::string ToJson(const RunRecord& record);
base::Result<RepositoryRecord> RepositoryFromJson(std::string_view key, const std::string& text);
base::Result<ScheduleRecord> ScheduleFromJson(std::string_view key, const std::string& text);
base::Result<RunRecord> RunFromJson(std::string_view key, const std::string& text);

// One run of a daemon, from its start to its end; and those of the daemons that live, by server.
std::string InstanceOf(const ServerRecord& server);
std::map<std::string, std::string> InstancesOf(const std::vector<ServerRecord>& servers);

// When a schedule is to be done next for a database.
struct NextRun {
  base::WallTime due = {};    // by the calendar, or when a person asked
  base::WallTime begin = {};  // with the jitter, or the wait before another attempt
  uint64_t attempt = 1;
};
// A run of a daemon that is not in `instances` is over without an end.
// Nothing: it is paused, runs now, or its calendar has no more.
std::optional<NextRun> NextRunOf(const ScheduleRecord& schedule, const std::string& database,
                                 const RunRecord* last,
                                 const std::map<std::string, std::string>& instances);

// All plans as of about one moment.
struct PlansView {
  std::vector<RepositoryRecord> repositories;
  std::vector<ScheduleRecord> schedules;
  std::vector<RunRecord> runs;

  const RunRecord* FindRun(std::string_view schedule, std::string_view database) const;
};

}  // namespace understudy::cluster
