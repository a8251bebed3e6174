// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_lease.h"

#include <algorithm>

#include "cluster/record_fields.h"

namespace understudy::cluster {
namespace {

std::string TurnKey(const std::string& database) {
  return BackupArbiter::kBackupsPrefix + database;
}
std::string QueuePrefix(const std::string& database) {
  return BackupArbiter::kQueuePrefix + database + "/";
}
std::string QueueKey(const BackupLease& lease) { return QueuePrefix(lease.database) + lease.id; }

base::Result<std::optional<KeyValue>> Find(Coordinator& coordinator, const std::string& key) {
  base::Result<KeyValue> pair = coordinator.Get(key);
  if (pair.ok()) return std::optional(std::move(pair).value());
  if (pair.status().code() == base::Code::kNotFound) return std::optional<KeyValue>();
  return pair.status();
}

// Those that wait, longest first.
base::Result<std::vector<KeyValue>> Queue(Coordinator& coordinator, const std::string& database) {
  ASSIGN_OR_RETURN(std::vector<KeyValue> pairs, coordinator.List(QueuePrefix(database)));
  std::sort(pairs.begin(), pairs.end(), [](const KeyValue& a, const KeyValue& b) {
    return a.created != b.created ? a.created < b.created : a.key < b.key;
  });
  return pairs;
}

}  // namespace

std::string ToJson(const BackupLease& lease) {
  return DumpRecord({{"id", lease.id},
                     {"database", lease.database},
                     {"server", lease.server},
                     {"role", lease.role},
                     {"requester", lease.requester},
                     {"type", lease.type},
                     {"phase", lease.phase},
                     {"bytes_done", lease.bytes_done},
                     {"bytes_total", lease.bytes_total},
                     {"first", ToObject(lease.first)},
                     {"last", ToObject(lease.last)},
                     {"began", base::ToRfc3339(lease.began)},
                     {"renewed", base::ToRfc3339(lease.renewed)}});
}

base::Result<BackupLease> BackupLeaseFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  BackupLease lease;
  fields.Get("id", lease.id);
  fields.Get("database", lease.database);
  fields.Get("server", lease.server);
  fields.Get("role", lease.role);
  fields.Get("requester", lease.requester);
  fields.Get("type", lease.type);
  fields.Get("phase", lease.phase);
  fields.Get("bytes_done", lease.bytes_done);
  fields.Get("bytes_total", lease.bytes_total);
  fields.Get("first", lease.first);
  fields.Get("last", lease.last);
  fields.Get("began", lease.began);
  fields.Get("renewed", lease.renewed);
  RETURN_IF_ERROR(fields.status());
  return lease;
}

std::string ToString(const BackupLease& lease) {
  std::string text =
      fmt::format("backup {} ({}, of the {} copy on {}, for {}, since {}", lease.id, lease.type,
                  lease.role, lease.server, lease.requester, base::ToRfc3339(lease.began));
  if (!lease.phase.empty()) text += "; " + lease.phase;
  if (lease.bytes_total > 0) {
    text += fmt::format(", {} %",
                        std::min(lease.bytes_done, lease.bytes_total) * 100 / lease.bytes_total);
  }
  return text + ")";
}

base::Result<BackupArbiter::Turn> BackupArbiter::Try(const BackupLease& wanted, LeaseId lease) {
  Turn turn;
  const std::string key = TurnKey(wanted.database);
  ASSIGN_OR_RETURN(const std::optional<KeyValue> held, Find(coordinator_, key));
  ASSIGN_OR_RETURN(const std::vector<KeyValue> queue, Queue(coordinator_, wanted.database));
  const std::string own_place = QueueKey(wanted);
  const auto own = std::find_if(queue.begin(), queue.end(),
                                [&](const KeyValue& pair) { return pair.key == own_place; });
  turn.before_us = static_cast<size_t>(own - queue.begin());
  if (held) {
    ASSIGN_OR_RETURN(turn.holder, BackupLeaseFromJson(held->key, held->value));
  }
  const bool ours_already = turn.holder && turn.holder->id == wanted.id;
  if (ours_already || (!held && turn.before_us == 0)) {
    std::vector<Operation> operations = {Operation::Put(key, ToJson(wanted), lease)};
    if (own != queue.end()) operations.push_back(Operation::Delete(own_place));
    ASSIGN_OR_RETURN(const TxnResult taken,
                     coordinator_.Txn({{key, held ? held->modified : 0}}, operations));
    if (taken.committed) return Turn{.ours = true, .holder = std::nullopt, .before_us = 0};
  }
  if (own != queue.end()) return turn;
  if (queue.size() >= kQueueMax) {
    return base::Busy(fmt::format("{} backups of {} are waiting already (at most {} may)",
                                  queue.size(), wanted.database, kQueueMax));
  }
  RETURN_IF_ERROR(
      coordinator_.Txn({{own_place, 0}}, {Operation::Put(own_place, ToJson(wanted), lease)})
          .status());
  return turn;
}

base::Status BackupArbiter::Renew(const BackupLease& held, LeaseId lease) {
  RETURN_IF_ERROR(coordinator_.KeepAlive(lease));
  const std::string key = TurnKey(held.database);
  ASSIGN_OR_RETURN(const std::optional<KeyValue> pair, Find(coordinator_, key));
  const auto lost = [&](const std::string& why) {
    return base::NotFound(
        fmt::format("the turn of backup {} of {} was lost: {}", held.id, held.database, why));
  };
  if (!pair) return lost("its lease had ended");
  ASSIGN_OR_RETURN(const BackupLease there, BackupLeaseFromJson(pair->key, pair->value));
  if (there.id != held.id) return lost(ToString(there) + " has it");
  ASSIGN_OR_RETURN(
      const TxnResult written,
      coordinator_.Txn({{key, pair->modified}}, {Operation::Put(key, ToJson(held), lease)}));
  return written.committed ? base::Status() : lost("it was changed at this moment");
}

base::Status BackupArbiter::End(const BackupLease& held) {
  const std::string key = TurnKey(held.database);
  ASSIGN_OR_RETURN(const std::optional<KeyValue> pair, Find(coordinator_, key));
  std::vector<Operation> operations = {Operation::Delete(QueueKey(held))};
  std::vector<Compare> compares;
  if (pair) {
    ASSIGN_OR_RETURN(const BackupLease there, BackupLeaseFromJson(pair->key, pair->value));
    if (there.id == held.id) {
      compares.push_back({key, pair->modified});
      operations.push_back(Operation::Delete(key));
    }
  }
  return coordinator_.Txn(compares, operations).status();
}

base::Result<std::optional<BackupLease>> BackupArbiter::Holder(const std::string& database) {
  ASSIGN_OR_RETURN(const std::optional<KeyValue> pair, Find(coordinator_, TurnKey(database)));
  if (!pair) return std::optional<BackupLease>();
  ASSIGN_OR_RETURN(BackupLease lease, BackupLeaseFromJson(pair->key, pair->value));
  return std::optional(std::move(lease));
}

base::Result<std::vector<BackupLease>> BackupArbiter::Waiting(const std::string& database) {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> queue, Queue(coordinator_, database));
  std::vector<BackupLease> waiting;
  for (const KeyValue& pair : queue) {
    ASSIGN_OR_RETURN(BackupLease lease, BackupLeaseFromJson(pair.key, pair.value));
    waiting.push_back(std::move(lease));
  }
  return waiting;
}

}  // namespace understudy::cluster
