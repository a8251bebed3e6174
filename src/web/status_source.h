// SPDX-License-Identifier: Apache-2.0
// What the web server answers from: one immutable snapshot of this server per request.
//
// StatusSource is implemented by server/, and by a fake in the tests. Take() is called on the
// request's thread and must answer from memory: it waits for no coordinator, no other server and no
// disk. Threading: StatusSource is thread-safe; the structs are values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "cluster/backup_plan_records.h"
#include "cluster/group_settings.h"
#include "cluster/records.h"

namespace understudy::web {

// One copy on this server.
struct LocalCopy {
  std::string database;
  std::string id;  // 32 hex digits
  std::string path;
  bool active = false;  // its role; not yet that it is mounted
  std::string state;    // "Mounted", "Healthy", …
  // Mounted, and this server may have copies mounted at this very moment.
  bool writable = false;
  // Stock SQLite can read it, and it is kept up to date or at least knows that it is not.
  bool readable = false;
  bool suspended = false;
  std::string suspend_reason;
  std::string error;
  base::Position copied;
  base::Position durable;
  base::Position replayed;
  bool queues_known = false;  // the copy queue is of now: the active copy is heard
  uint64_t copy_queue = 0;
  uint64_t replay_queue = 0;
  // A passive copy has at least what the active one had so long ago; nothing: not known.
  std::optional<base::Duration> copied_age;
  std::optional<base::Duration> replayed_age;
  base::WallTime last_commit;
  uint64_t database_bytes = 0;
  uint64_t log_bytes = 0;
  uint64_t log_holds = 0;       // who keeps log: how many
  base::Duration replay_lag{};  // it holds log back for so long on purpose
  std::string playing_down;     // why it does not, for now
};

// What the group's registry had when it was last read.
struct GroupView {
  std::vector<cluster::ServerRecord> servers;
  std::vector<cluster::DatabaseRecord> databases;
  std::vector<cluster::CopyStatusRecord> statuses;
  std::set<std::string> maintenance;  // servers on which nothing is to be mounted
  bool paused = false;                // nothing is moved without a person
  bool failsafe = false;              // server/failsafe.h
  cluster::GroupSettings settings;
  cluster::PlansView plans;  // repositories and schedules

  const cluster::DatabaseRecord* FindDatabase(std::string_view name) const;
};

// Events of this daemon since it was started.
struct EventCount {
  uint32_t number = 0;
  std::string severity;
  uint64_t count = 0;
};

struct Snapshot {
  std::string server;
  std::string version;
  base::WallTime started;
  base::WallTime now;
  std::vector<LocalCopy> copies;
  std::shared_ptr<const GroupView> group;             // null: the registry was never read
  std::optional<base::Duration> coordinator_silence;  // since its last answer
  base::Duration lease{};                             // coordinator.lease
  base::Duration lease_remaining{};  // for so long this server may have copies mounted
  std::vector<EventCount> events;
  base::Duration round_age{};  // since the thread "cluster" last went round

  const LocalCopy* FindCopy(std::string_view database) const;
};

class StatusSource {
 public:
  virtual ~StatusSource() = default;
  virtual Snapshot Take() const = 0;
};

}  // namespace understudy::web
