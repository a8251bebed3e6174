// SPDX-License-Identifier: Apache-2.0
#include "cluster/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace understudy::cluster {
namespace {

std::string ServerKey(const std::string& name) { return Registry::kServersPrefix + name; }
std::string AliveKey(const std::string& name) { return Registry::kAlivePrefix + name; }
std::string DatabaseKey(const std::string& name) { return Registry::kDatabasesPrefix + name; }
std::string StatusPrefix(const std::string& database) { return "status/" + database + "/"; }
std::string KeepKey(base::DatabaseId id, const std::string& server) {
  return fmt::format("kept/{}/{}", id.ToHex(), server);
}
std::string EventKey(uint64_t id) { return fmt::format("{}{:016}", Registry::kEventsPrefix, id); }
constexpr const char* kEventsLastKey = "events_last";

base::Status LostEveryRound(const std::string& key) {
  return base::Busy(
      fmt::format("coordinator key {} changed {} times while it was being updated: try again", key,
                  Registry::kAttemptsMax));
}

// Not within a character of UTF-8.
void Shorten(std::string& message) {
  if (message.size() <= kEventMessageBytesMax) return;
  size_t end = kEventMessageBytesMax;
  while (end > 0 && (static_cast<uint8_t>(message[end]) & 0xc0) == 0x80) --end;
  message.resize(end);
  message += " …";
}

// The pair, or nothing where the key does not exist.
base::Result<std::optional<KeyValue>> Find(Coordinator& coordinator, const std::string& key) {
  base::Result<KeyValue> pair = coordinator.Get(key);
  if (pair.ok()) return std::optional(std::move(pair).value());
  if (pair.status().code() == base::Code::kNotFound) return std::optional<KeyValue>();
  return pair.status();
}

}  // namespace

base::Status NoSuchName(const char* what, const std::string& name,
                        const std::vector<std::string>& known) {
  return base::NotFound(fmt::format(
      "no {} {} in this group\n{}", what, name,
      known.empty() ? "there is none yet" : fmt::format("known are {}", fmt::join(known, ", "))));
}

base::Status Registry::AnnounceServer(const ServerRecord& record, LeaseId lease) {
  const std::string alive_key = AliveKey(record.name);
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(const std::optional<KeyValue> alive, Find(coordinator_, alive_key));
    ASSIGN_OR_RETURN(const std::optional<KeyValue> server,
                     Find(coordinator_, ServerKey(record.name)));
    if (alive && alive->lease != lease && server) {
      ASSIGN_OR_RETURN(const ServerRecord other, ServerFromJson(server->key, server->value));
      if (other.identity != record.identity) {
        return base::AlreadyExists(fmt::format(
            "another server called {} is alive in this group ({}, last seen {})\ngive each server "
            "its own server.name",
            record.name, other.address, alive->value));
      }
    }
    std::vector<Operation> operations = {
        Operation::Put(alive_key, base::ToRfc3339(env_.WallNow()), lease)};
    const std::string json = ToJson(record);
    if (!server || server->value != json) {
      operations.push_back(Operation::Put(ServerKey(record.name), json));
    }
    ASSIGN_OR_RETURN(const TxnResult result,
                     coordinator_.Txn({{alive_key, alive ? alive->modified : 0}}, operations));
    if (result.committed) return {};
  }
  return LostEveryRound(alive_key);
}

base::Result<std::vector<ServerRecord>> Registry::Servers() {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List(kServersPrefix));
  ASSIGN_OR_RETURN(const std::vector<KeyValue> alive, coordinator_.List(kAlivePrefix));
  std::map<std::string, std::string> seen;
  for (const KeyValue& pair : alive) seen[pair.key] = pair.value;
  std::vector<ServerRecord> servers;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(ServerRecord server, ServerFromJson(pair.key, pair.value));
    if (const auto found = seen.find(AliveKey(server.name)); found != seen.end()) {
      server.alive = true;
      if (const auto time = base::FromRfc3339(found->second); time.ok()) server.last_seen = *time;
    }
    servers.push_back(std::move(server));
  }
  return servers;
}

base::Result<ServerRecord> Registry::FindServer(const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<ServerRecord> servers, Servers());
  return FindByName("server", servers, name);
}

base::Result<std::vector<DatabaseRecord>> Registry::Databases() {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List(kDatabasesPrefix));
  std::vector<DatabaseRecord> databases;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(DatabaseRecord database, DatabaseFromJson(pair.key, pair.value));
    database.modified = pair.modified;
    databases.push_back(std::move(database));
  }
  return databases;
}

base::Result<DatabaseRecord> Registry::FindDatabase(const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, Databases());
  return FindByName("database", databases, name);
}

base::Status Registry::CreateDatabase(const DatabaseRecord& record) {
  const std::string key = DatabaseKey(record.name);
  ASSIGN_OR_RETURN(const TxnResult result,
                   coordinator_.Txn({{key, 0}}, {Operation::Put(key, ToJson(record))}));
  if (result.committed) return {};
  return base::AlreadyExists(fmt::format(
      "a database called {} is in this group already\nchoose another name, or remove it "
      "first: understudy db remove {}",
      record.name, record.name));
}

base::Result<DatabaseRecord> Registry::UpdateDatabase(const std::string& name, const Edit& change) {
  const std::string key = DatabaseKey(name);
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(DatabaseRecord record, FindDatabase(name));
    RETURN_IF_ERROR(change(record));
    ASSIGN_OR_RETURN(
        const TxnResult result,
        coordinator_.Txn({{key, record.modified}}, {Operation::Put(key, ToJson(record))}));
    if (result.committed) {
      record.modified = result.revision;
      return record;
    }
  }
  return LostEveryRound(key);
}

base::Status Registry::RemoveDatabase(const std::string& name) {
  RETURN_IF_ERROR(FindDatabase(name).status());
  std::vector<Operation> operations = {Operation::Delete(DatabaseKey(name))};
  ASSIGN_OR_RETURN(const std::vector<KeyValue> statuses, coordinator_.List(StatusPrefix(name)));
  for (const KeyValue& pair : statuses) operations.push_back(Operation::Delete(pair.key));
  return coordinator_.Txn({}, operations).status();
}

base::Result<DatabaseRecord> Registry::TakeTerm(const Mounting& mounting) {
  return UpdateDatabase(mounting.database, [&](DatabaseRecord& record) -> base::Status {
    if (record.id != mounting.id) {
      return base::Fenced(fmt::format("database {} was removed and added anew", record.name));
    }
    if (record.active != mounting.server) {
      return base::Fenced(fmt::format("the active copy of {} is on {}, not here on {}", record.name,
                                      record.active, mounting.server));
    }
    if (record.dismounted) {
      return base::Fenced(fmt::format("{} was dismounted by an administrator", record.name));
    }
    record.term = record.term.Next();
    const std::string reason = record.move_reason.empty() ? "mount" : record.move_reason;
    record.history.push_back(
        {record.term, mounting.after, mounting.server, env_.WallNow(), reason});
    if (record.history.size() > kHistoryMax) record.history.erase(record.history.begin());
    record.move_reason.clear();
    return {};
  });
}

base::Result<bool> Registry::Move(const DatabaseRecord& seen, const std::string& target,
                                  const std::string& reason, std::vector<Compare> compares) {
  DatabaseRecord record = seen;
  record.active = target;
  record.move_reason = reason;
  const std::string key = DatabaseKey(seen.name);
  compares.push_back({key, seen.modified});
  ASSIGN_OR_RETURN(const TxnResult result,
                   coordinator_.Txn(compares, {Operation::Put(key, ToJson(record))}));
  return result.committed;
}

base::Status Registry::NoteBackedUp(const std::string& database, base::DatabaseId id,
                                    const BackedUp& backed_up) {
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    if (record.id != id) {
      return base::NotFound(fmt::format("{} is another database now", database));
    }
    if (record.backed_up.at < backed_up.at) record.backed_up = backed_up;
    return {};
  };
  return UpdateDatabase(database, edit).status();
}

base::Result<bool> Registry::FailOver(const DatabaseRecord& seen, const std::string& target) {
  return Move(seen, target, "failover", {{AliveKey(seen.active), 0}});
}

base::Result<bool> Registry::GiveUpMount(const DatabaseRecord& seen, const std::string& target) {
  return Move(seen, target, "failover", {});
}

base::Result<GroupRecord> Registry::Group() {
  ASSIGN_OR_RETURN(const std::optional<KeyValue> pair, Find(coordinator_, kGroupKey));
  if (!pair) return GroupRecord();
  ASSIGN_OR_RETURN(GroupRecord record, GroupFromJson(pair->key, pair->value));
  record.modified = pair->modified;
  return record;
}

base::Result<GroupRecord> Registry::UpdateGroup(const GroupEdit& edit) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(GroupRecord record, Group());
    const std::string before = ToJson(record);
    edit(record);
    if (ToJson(record) == before) return record;
    ASSIGN_OR_RETURN(const TxnResult result,
                     coordinator_.Txn({{kGroupKey, record.modified}},
                                      {Operation::Put(kGroupKey, ToJson(record))}));
    if (result.committed) return record;
  }
  return LostEveryRound(kGroupKey);
}

base::Result<GroupSettings> Registry::Settings() {
  ASSIGN_OR_RETURN(const std::optional<KeyValue> pair, Find(coordinator_, kSettingsKey));
  if (!pair) return GroupSettings();
  return GroupSettings::FromJson(kSettingsKey, pair->value);
}

base::Result<GroupSettings> Registry::UpdateSettings(const SettingsEdit& edit) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(const std::optional<KeyValue> pair, Find(coordinator_, kSettingsKey));
    GroupSettings settings;
    if (pair) {
      ASSIGN_OR_RETURN(settings, GroupSettings::FromJson(kSettingsKey, pair->value));
    }
    RETURN_IF_ERROR(edit(settings));
    ASSIGN_OR_RETURN(const TxnResult result,
                     coordinator_.Txn({{kSettingsKey, pair ? pair->modified : 0}},
                                      {Operation::Put(kSettingsKey, settings.ToJson())}));
    if (result.committed) return settings;
  }
  return LostEveryRound(kSettingsKey);
}

base::Result<std::set<std::string>> Registry::Maintenance() {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List(kMaintenancePrefix));
  std::set<std::string> servers;
  for (const KeyValue& pair : pairs) {
    servers.insert(pair.key.substr(std::string_view(kMaintenancePrefix).size()));
  }
  return servers;
}

base::Status Registry::SetMaintenance(const std::string& server, bool on) {
  const std::string key = kMaintenancePrefix + server;
  const Operation operation =
      on ? Operation::Put(key, base::ToRfc3339(env_.WallNow())) : Operation::Delete(key);
  return coordinator_.Txn({}, {operation}).status();
}

base::Result<std::string> Registry::ElectManager(const std::string& server, LeaseId lease) {
  ASSIGN_OR_RETURN(const std::optional<KeyValue> holder, Find(coordinator_, kManagerKey));
  if (holder && holder->lease == lease) return server;
  if (holder && holder->value != server) return holder->value;
  const Revision seen = holder ? holder->modified : 0;
  ASSIGN_OR_RETURN(
      const TxnResult result,
      coordinator_.Txn({{kManagerKey, seen}}, {Operation::Put(kManagerKey, server, lease)}));
  if (result.committed) return server;
  return Manager();
}

base::Result<std::string> Registry::Manager() {
  ASSIGN_OR_RETURN(const std::optional<KeyValue> holder, Find(coordinator_, kManagerKey));
  return holder ? holder->value : std::string();
}

base::Status Registry::SetKeepFiles(base::DatabaseId id, const std::string& server) {
  return coordinator_.Txn({}, {Operation::Put(KeepKey(id, server), "true")}).status();
}

base::Result<bool> Registry::TakeKeepFiles(base::DatabaseId id, const std::string& server) {
  ASSIGN_OR_RETURN(const std::optional<KeyValue> kept, Find(coordinator_, KeepKey(id, server)));
  if (!kept) return false;
  RETURN_IF_ERROR(coordinator_.Txn({}, {Operation::Delete(KeepKey(id, server))}).status());
  return true;
}

base::Status Registry::PublishStatus(const std::vector<CopyStatusRecord>& records) {
  std::vector<Operation> operations;
  for (const CopyStatusRecord& record : records) {
    operations.push_back(
        Operation::Put(StatusPrefix(record.database) + record.server, ToJson(record)));
    if (operations.size() < kTxnOperationsMax && &record != &records.back()) continue;
    RETURN_IF_ERROR(coordinator_.Txn({}, operations).status());
    operations.clear();
  }
  return {};
}

base::Result<std::vector<CopyStatusRecord>> Registry::Statuses() {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List("status/"));
  std::vector<CopyStatusRecord> statuses;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(CopyStatusRecord status, CopyStatusFromJson(pair.key, pair.value));
    statuses.push_back(std::move(status));
  }
  return statuses;
}

base::Status Registry::AddEvents(std::vector<Event>& events) {
  CHECK(events.size() <= kEventsPerCallMax);
  if (events.empty()) return {};
  for (Event& event : events) {
    if (event.time.unix_ms == 0) event.time = env_.WallNow();
    Shorten(event.message);
  }
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ASSIGN_OR_RETURN(const std::optional<KeyValue> last, Find(coordinator_, kEventsLastKey));
    uint64_t last_id = 0;
    if (last) {
      const char* const end = last->value.data() + last->value.size();
      if (std::from_chars(last->value.data(), end, last_id).ptr != end) {
        return base::Corruption("coordinator key events_last: is not a number");
      }
    }
    std::vector<Operation> operations = {
        Operation::Put(kEventsLastKey, std::to_string(last_id + events.size()))};
    for (Event& event : events) {
      event.id = ++last_id;
      operations.push_back(Operation::Put(EventKey(event.id), ToJson(event)));
      if (event.id <= kEventsKept) continue;
      operations.push_back(Operation::Delete(EventKey(event.id - kEventsKept)));
    }
    ASSIGN_OR_RETURN(const TxnResult result,
                     coordinator_.Txn({{kEventsLastKey, last ? last->modified : 0}}, operations));
    if (result.committed) return {};
  }
  return LostEveryRound(kEventsLastKey);
}

base::Result<std::vector<Event>> Registry::Events(uint64_t after, size_t limit) {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List(kEventsPrefix));
  std::vector<Event> events;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(Event event, EventFromJson(pair.key, pair.value));
    if (event.id > after) events.push_back(std::move(event));
  }
  if (events.size() > limit) {
    events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(limit));
  }
  return events;
}

}  // namespace understudy::cluster
