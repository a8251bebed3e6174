// SPDX-License-Identifier: Apache-2.0
#include "web/status_json.h"

#include <algorithm>

namespace understudy::web {
namespace {

Json ToObject(base::Position position) {
  return Json{{"term", position.term.value}, {"seq", position.seq.value}};
}

Json ToMs(const std::optional<base::Duration>& time) {
  if (!time) return nullptr;
  return *time / std::chrono::milliseconds(1);
}

Json ToTime(base::WallTime time) {
  if (time.unix_ms == 0) return nullptr;
  return base::ToRfc3339(time);
}

Json LocalJson(const LocalCopy& copy) {
  Json json;
  json["role"] = copy.active ? "active" : "passive";
  json["state"] = copy.state;
  json["writable"] = copy.writable;
  json["readable"] = copy.readable;
  json["suspended"] = copy.suspended;
  if (copy.suspended) json["suspend_reason"] = copy.suspend_reason;
  json["path"] = copy.path;
  json["copied"] = ToObject(copy.copied);
  json["durable"] = ToObject(copy.durable);
  json["replayed"] = ToObject(copy.replayed);
  json["copy_queue"] = copy.queues_known ? Json(copy.copy_queue) : Json(nullptr);
  json["replay_queue"] = copy.replay_queue;
  json["copied_age_ms"] = ToMs(copy.copied_age);
  json["replayed_age_ms"] = ToMs(copy.replayed_age);
  json["last_commit"] = ToTime(copy.last_commit);
  if (copy.replay_lag > base::Duration(0)) {
    json["replay_lag_ms"] = ToMs(copy.replay_lag);
    json["playing_down"] = copy.playing_down.empty() ? Json(nullptr) : Json(copy.playing_down);
  }
  if (!copy.error.empty()) json["error"] = copy.error;
  return json;
}

const cluster::ServerRecord* FindServer(const GroupView& group, const std::string& name) {
  const auto found = std::find_if(group.servers.begin(), group.servers.end(),
                                  [&](const auto& server) { return server.name == name; });
  return found == group.servers.end() ? nullptr : &*found;
}

const cluster::CopyStatusRecord* FindStatus(const GroupView& group, const std::string& database,
                                            const cluster::CopyRecord& copy) {
  const auto found =
      std::find_if(group.statuses.begin(), group.statuses.end(), [&](const auto& status) {
        return status.database == database && status.server == copy.server &&
               status.incarnation == copy.incarnation;
      });
  return found == group.statuses.end() ? nullptr : &*found;
}

// A copy as the group knows it: what its server last published.
Json MemberJson(const GroupView& group, const cluster::DatabaseRecord& database,
                const cluster::CopyRecord& copy) {
  const cluster::ServerRecord* const server = FindServer(group, copy.server);
  const bool alive = server != nullptr && server->alive;
  Json json;
  json["name"] = copy.server;
  json["role"] = copy.server == database.active ? "active" : "passive";
  json["state"] = alive ? "Initializing" : "ServiceDown";
  if (const auto* const last = FindStatus(group, database.name, copy)) {
    if (alive) json["state"] = last->state;
    json["path"] = last->path;
    json["durable"] = ToObject(last->durable);
    json["replayed"] = ToObject(last->replayed);
    json["copy_queue"] = last->copy_queue;
    json["observed"] = ToTime(last->observed);
  }
  json["suspended"] = copy.suspended;
  json["preference"] = copy.preference == 0 ? Json(nullptr) : Json(copy.preference);
  json["activation_suspended"] = copy.activation_suspended;
  if (copy.replay_lag > base::Duration(0)) json["replay_lag_ms"] = ToMs(copy.replay_lag);
  if (server != nullptr && !server->web.empty()) json["api_url"] = "http://" + server->web;
  return json;
}

Json DatabaseJson(const GroupView& group, const cluster::DatabaseRecord& database) {
  Json json;
  json["name"] = database.name;
  json["id"] = database.id.ToHex();
  json["active"] = database.active;
  json["term"] = database.term.value;
  json["dial"] = cluster::MountDialName(database.dial);
  json["dismounted"] = database.dismounted;
  json["members"] = Json::array();
  for (const cluster::CopyRecord& copy : database.copies) {
    json["members"].push_back(MemberJson(group, database, copy));
  }
  return json;
}

}  // namespace

const cluster::DatabaseRecord* GroupView::FindDatabase(std::string_view name) const {
  const auto found = std::find_if(databases.begin(), databases.end(),
                                  [&](const auto& database) { return database.name == name; });
  return found == databases.end() ? nullptr : &*found;
}

const LocalCopy* Snapshot::FindCopy(std::string_view database) const {
  const auto found = std::find_if(copies.begin(), copies.end(),
                                  [&](const auto& copy) { return copy.database == database; });
  return found == copies.end() ? nullptr : &*found;
}

Json CopyJson(const Snapshot& snapshot, const std::string& database) {
  Json json;
  json["database"] = database;
  json["server"] = snapshot.server;
  const auto* const record =
      snapshot.group == nullptr ? nullptr : snapshot.group->FindDatabase(database);
  if (record != nullptr) {
    json["id"] = record->id.ToHex();
    json["active"] = record->active;
    json["term"] = record->term.value;
  }
  if (const LocalCopy* const copy = snapshot.FindCopy(database)) json.update(LocalJson(*copy));
  json["coordinator_silence_ms"] = ToMs(snapshot.coordinator_silence);
  return json;
}

Json ServerJson(const Snapshot& snapshot) {
  Json json;
  json["server"] = snapshot.server;
  json["version"] = snapshot.version;
  json["started"] = ToTime(snapshot.started);
  json["coordinator_silence_ms"] = ToMs(snapshot.coordinator_silence);
  json["copies"] = Json::array();
  for (const LocalCopy& copy : snapshot.copies) {
    Json row = LocalJson(copy);
    row["database"] = copy.database;
    json["copies"].push_back(std::move(row));
  }
  return json;
}

Json GroupJson(const Snapshot& snapshot, const std::string& database) {
  Json json;
  json["server"] = snapshot.server;
  json["coordinator_silence_ms"] = ToMs(snapshot.coordinator_silence);
  if (snapshot.group == nullptr) return json;
  const GroupView& group = *snapshot.group;
  json["paused"] = group.paused;
  json["failsafe"] = group.failsafe;
  if (const auto* const only = group.FindDatabase(database)) {
    json.update(DatabaseJson(group, *only));
    return json;
  }
  json["servers"] = Json::array();
  for (const cluster::ServerRecord& server : group.servers) {
    Json row{{"name", server.name}, {"state", server.alive ? "Up" : "Down"}};
    row["address"] = server.address;
    if (!server.web.empty()) row["api_url"] = "http://" + server.web;
    row["version"] = server.version;
    row["last_seen"] = ToTime(server.last_seen);
    json["servers"].push_back(std::move(row));
  }
  json["databases"] = Json::array();
  for (const cluster::DatabaseRecord& record : group.databases) {
    json["databases"].push_back(DatabaseJson(group, record));
  }
  return json;
}

Json DatabasesJson(const Snapshot& snapshot) {
  Json rows = Json::array();
  if (snapshot.group == nullptr) return rows;
  for (const cluster::DatabaseRecord& record : snapshot.group->databases) {
    const LocalCopy* const copy = snapshot.FindCopy(record.name);
    Json row{{"name", record.name}, {"active", record.active}, {"term", record.term.value}};
    row["role"] = copy == nullptr ? Json(nullptr) : Json(copy->active ? "active" : "passive");
    row["state"] = copy == nullptr ? Json(nullptr) : Json(copy->state);
    rows.push_back(std::move(row));
  }
  return rows;
}

Json StateJson(const Snapshot& snapshot) {
  Json json{{"api", 1}};
  json["now"] = ToTime(snapshot.now);
  json["registry_read"] = snapshot.group != nullptr;
  json["lease_ms"] = snapshot.lease / std::chrono::milliseconds(1);
  json.update(GroupJson(snapshot, ""));
  json.update(ServerJson(snapshot));
  return json;
}

Json HistoryJson(const cluster::DatabaseRecord& record) {
  Json rows = Json::array();
  for (const cluster::TermStart& start : record.history) {
    rows.push_back(Json::array(
        {start.term.value, start.after.seq.value, start.reason, ToTime(start.time), start.server}));
  }
  return rows;
}

std::string ToText(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace understudy::web
