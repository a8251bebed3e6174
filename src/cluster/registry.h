// SPDX-License-Identifier: Apache-2.0
// Registry: the group's state as typed operations on a Coordinator.
//
//   servers/<name>            ServerRecord          kept when the server is away
//   alive/<name>              last seen, RFC 3339   leased
//   databases/<name>          DatabaseRecord        changed by compare-and-set only
//   status/<database>/<server>  CopyStatusRecord    last known, written by that server
//   kept/<database id>/<server>  "true": leave the files of the removed copy
//   settings                  GroupSettings         those that were changed
//   events/<id in 16 digits>  Event                 the newest kEventsKept
//   events_last               id of the newest event
//
// Invariant: terms of a database go up by one at every TakeTerm and never repeat.
// Threading: thread-safe. Errors: the coordinator's; kBusy when kAttemptsMax compare-and-set rounds
// were all lost.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "cluster/coordinator.h"
#include "cluster/group_settings.h"
#include "cluster/records.h"
#include "env/env.h"

namespace understudy::cluster {

inline constexpr uint64_t kEventsKept = 2000;
inline constexpr size_t kEventsPerCallMax = 16;
inline constexpr size_t kEventMessageBytesMax = 16 << 10;  // what is longer is cut

inline constexpr base::Duration kServerLeaseDefault = std::chrono::seconds(6);

// kNotFound, with those that are known. `what`: "database", "server".
base::Status NoSuchName(const char* what, const std::string& name,
                        const std::vector<std::string>& known);
template <typename Record>
base::Result<Record> FindByName(const char* what, const std::vector<Record>& records,
                                const std::string& name) {
  std::vector<std::string> known;
  for (const Record& record : records) {
    if (record.name == name) return record;
    known.push_back(record.name);
  }
  return NoSuchName(what, name, known);
}

class Registry {
 public:
  static constexpr int kAttemptsMax = 50;
  static constexpr const char* kDatabasesPrefix = "databases/";
  static constexpr const char* kServersPrefix = "servers/";
  static constexpr const char* kAlivePrefix = "alive/";
  static constexpr const char* kStatusPrefix = "status/";
  static constexpr const char* kEventsPrefix = "events/";
  static constexpr const char* kGroupKey = "group";
  static constexpr const char* kMaintenancePrefix = "maintenance/";
  static constexpr const char* kManagerKey = "manager";
  static constexpr const char* kSettingsKey = "settings";

  // `coordinator` and `env` are borrowed.
  Registry(env::Env& env, Coordinator& coordinator) : env_(env), coordinator_(coordinator) {}

  // Writes the record and marks the server alive for `lease`'s time. kAlreadyExists when a live
  // server of that name has another identity: two daemons must not share a name.
  base::Status AnnounceServer(const ServerRecord& record, LeaseId lease);
  base::Result<std::vector<ServerRecord>> Servers();
  base::Result<ServerRecord> FindServer(const std::string& name);  // kNotFound names those known

  base::Result<std::vector<DatabaseRecord>> Databases();
  base::Result<DatabaseRecord> FindDatabase(
      const std::string& name);                               // kNotFound names those known
  base::Status CreateDatabase(const DatabaseRecord& record);  // kAlreadyExists
  // Reads, lets `change` edit, writes if nobody wrote meanwhile, else does it again. An error of
  // `change` ends it.
  using Edit = std::function<base::Status(DatabaseRecord&)>;
  base::Result<DatabaseRecord> UpdateDatabase(const std::string& name, const Edit& change);
  base::Status RemoveDatabase(const std::string& name);  // with what is known of its copies
  // A new term for a mount on `server`, whose log ends at `after`; it goes into the history.
  // kFenced when `server` is not (any more) the active one, or the id is another, or an
  // administrator has dismounted the database.
  struct Mounting {
    std::string database;
    base::DatabaseId id;
    std::string server;
    base::Position after;
  };
  base::Result<DatabaseRecord> TakeTerm(const Mounting& mounting);

  // Log up to there may go, on every copy. Older backups than the one that is known change nothing.
  base::Status NoteBackedUp(const std::string& database, base::DatabaseId id,
                            const BackedUp& backed_up);

  // Makes `target` the active server if nobody has changed `seen` and `seen.active` still has no
  // lease: false if either is not so.
  base::Result<bool> FailOver(const DatabaseRecord& seen, const std::string& target);
  // The same where the active's server is alive and has relinquished its copy.
  base::Result<bool> GiveUpMount(const DatabaseRecord& seen, const std::string& target);

  base::Result<GroupRecord> Group();
  using GroupEdit = std::function<void(GroupRecord&)>;
  base::Result<GroupRecord> UpdateGroup(const GroupEdit& edit);
  base::Result<GroupSettings> Settings();
  using SettingsEdit = std::function<base::Status(GroupSettings&)>;
  base::Result<GroupSettings> UpdateSettings(const SettingsEdit& edit);
  // Servers on which nothing is to be mounted.
  base::Result<std::set<std::string>> Maintenance();
  base::Status SetMaintenance(const std::string& server, bool on);
  // The server that decides about failovers: `server` if nobody does, for as long as its lease
  // lives.
  base::Result<std::string> ElectManager(const std::string& server, LeaseId lease);
  base::Result<std::string> Manager();  // empty: none right now

  // Says that a copy's files stay when the copy is removed; the server takes the word when it
  // removes it.
  base::Status SetKeepFiles(base::DatabaseId id, const std::string& server);
  base::Result<bool> TakeKeepFiles(base::DatabaseId id, const std::string& server);

  base::Status PublishStatus(const std::vector<CopyStatusRecord>& records);
  base::Result<std::vector<CopyStatusRecord>> Statuses();

  // All or none. Gives each event its id and, if it has none, the time.
  // REQUIRES: kEventsPerCallMax at most.
  base::Status AddEvents(std::vector<Event>& events);
  // With id > after, oldest first; the newest `limit` of them.
  base::Result<std::vector<Event>> Events(uint64_t after, size_t limit = kEventsKept);

  Coordinator& coordinator() { return coordinator_; }

 private:
  base::Result<bool> Move(const DatabaseRecord& seen, const std::string& target,
                          const std::string& reason, std::vector<Compare> compares);

  env::Env& env_;
  Coordinator& coordinator_;
};

}  // namespace understudy::cluster
