// SPDX-License-Identifier: Apache-2.0
#include "cluster/embedded_coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cluster/coordinator_limits.h"

namespace understudy::cluster {
namespace {

constexpr int64_t kSchemaVersion = 1;
constexpr const char* kBootIdPath = "/proc/sys/kernel/random/boot_id";
// Where there is no boot id (tests with a file system of their own) all leases are of one boot.
constexpr const char* kNoBootId = "none";

constexpr const char* kSchema = R"(
  CREATE TABLE IF NOT EXISTS store(
    only INTEGER PRIMARY KEY CHECK(only = 1), schema INTEGER NOT NULL, revision INTEGER NOT NULL,
    next_lease INTEGER NOT NULL);
  INSERT OR IGNORE INTO store VALUES(1, 1, 0, 1);
  CREATE TABLE IF NOT EXISTS pairs(
    key TEXT PRIMARY KEY, value TEXT NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL,
    lease INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS pairs_of_lease ON pairs(lease) WHERE lease <> 0;
  CREATE TABLE IF NOT EXISTS leases(
    id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL, boot TEXT NOT NULL, ends_ms INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS changes(
    number INTEGER PRIMARY KEY, revision INTEGER NOT NULL, key TEXT NOT NULL, value TEXT);
  CREATE INDEX IF NOT EXISTS changes_by_revision ON changes(revision);
)";

KeyValue PairOf(const sqlite::Statement& row) {
  return {row.Text(0), row.Text(1), row.Int(2), row.Int(3), row.Int(4)};
}

// Fills changes.changes with those after `revision`, or says that they are no longer kept. One
// statement, so that what another process trims meanwhile cannot make a hole.
base::Status ReadChanges(sqlite::Connection& connection, Revision revision, Changes& changes) {
  ASSIGN_OR_RETURN(
      auto select,
      connection.Prepare(
          "SELECT key, value, revision, (SELECT number FROM changes ORDER BY number LIMIT 1), "
          "(SELECT revision FROM changes ORDER BY number LIMIT 1) FROM changes "
          "WHERE revision > ?1 AND revision <= ?2 ORDER BY number"));
  select.Bind(1, revision).Bind(2, changes.revision);
  while (true) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return {};
    const bool trimmed = select.Int(3) > 1;
    // The oldest revision still there may have lost some of its changes.
    if (trimmed && revision < select.Int(4)) {
      changes.complete = false;
      changes.changes.clear();
      return {};
    }
    Change change;
    change.key = select.Text(0);
    if (!select.IsNull(1)) change.value = select.Text(1);
    change.revision = select.Int(2);
    changes.changes.push_back(std::move(change));
  }
}

}  // namespace

// One write transaction: BEGIN IMMEDIATE, ended leases removed, then the caller's statements, then
// Commit. Destroyed without Commit it rolls back.
class EmbeddedCoordinator::Session {
 public:
  static base::Result<std::unique_ptr<Session>> Begin(EmbeddedCoordinator& owner) {
    ASSIGN_OR_RETURN(auto connection, owner.Take());
    std::unique_ptr<Session> session(new Session(owner, std::move(connection)));
    RETURN_IF_ERROR(session->connection_->Execute("BEGIN IMMEDIATE"));
    ASSIGN_OR_RETURN(session->revision_,
                     session->connection_->QueryInt("SELECT revision FROM store"));
    session->revision_before_ = session->revision_;
    RETURN_IF_ERROR(session->RemoveEndedLeases());
    return session;
  }
  ~Session() {
    if (connection_->in_transaction()) {
      connection_->Execute("ROLLBACK")
          .IgnoreError();  // a transaction that stays open is dropped with its connection
      if (connection_->in_transaction()) return;
    }
    owner_.GiveBack(std::move(connection_));
  }

  sqlite::Connection& connection() { return *connection_; }
  Revision revision() const { return revision_; }
  // The revision of this transaction's changes.
  Revision NextRevision() const { return revision_before_ + 1; }

  base::Status Put(const Operation& operation) {
    revision_ = NextRevision();
    ASSIGN_OR_RETURN(auto put, connection_->Prepare("INSERT INTO pairs VALUES(?1, ?2, ?3, ?3, ?4) "
                                                    "ON CONFLICT(key) DO UPDATE SET value = ?2, "
                                                    "modified = ?3, lease = ?4"));
    put.Bind(1, operation.key)
        .Bind(2, *operation.value)
        .Bind(3, revision_)
        .Bind(4, operation.lease);
    RETURN_IF_ERROR(put.Run());
    return NoteChange(operation.key, operation.value);
  }

  base::Status Delete(const std::string& key) {
    ASSIGN_OR_RETURN(auto find, connection_->Prepare("SELECT 1 FROM pairs WHERE key = ?1"));
    find.Bind(1, key);
    ASSIGN_OR_RETURN(const bool found, find.Step());
    if (!found) return {};
    find.Reset();
    revision_ = NextRevision();
    ASSIGN_OR_RETURN(auto remove, connection_->Prepare("DELETE FROM pairs WHERE key = ?1"));
    remove.Bind(1, key);
    RETURN_IF_ERROR(remove.Run());
    return NoteChange(key, std::nullopt);
  }

  base::Status RemoveLease(LeaseId lease) {
    std::vector<std::string> keys;
    {
      ASSIGN_OR_RETURN(auto select, connection_->Prepare(
                                        "SELECT key FROM pairs WHERE lease = ?1 AND lease <> 0"));
      select.Bind(1, lease);
      while (true) {
        ASSIGN_OR_RETURN(const bool row, select.Step());
        if (!row) break;
        keys.push_back(select.Text(0));
      }
    }
    for (const std::string& key : keys) RETURN_IF_ERROR(Delete(key));
    ASSIGN_OR_RETURN(auto remove, connection_->Prepare("DELETE FROM leases WHERE id = ?1"));
    remove.Bind(1, lease);
    return remove.Run();
  }

  base::Status Commit() {
    if (revision_ != revision_before_) {
      ASSIGN_OR_RETURN(auto update, connection_->Prepare("UPDATE store SET revision = ?1"));
      update.Bind(1, revision_);
      RETURN_IF_ERROR(update.Run());
      RETURN_IF_ERROR(connection_->Execute(
          fmt::format("DELETE FROM changes WHERE number <= (SELECT max(number) FROM changes) - {}",
                      kChangesKept)));
    }
    return connection_->Execute("COMMIT");
  }

 private:
  Session(EmbeddedCoordinator& owner, std::unique_ptr<sqlite::Connection> connection)
      : owner_(owner), connection_(std::move(connection)) {}

  base::Status NoteChange(const std::string& key, const std::optional<std::string>& value) {
    ASSIGN_OR_RETURN(
        auto insert,
        connection_->Prepare("INSERT INTO changes(revision, key, value) VALUES(?1, ?2, ?3)"));
    insert.Bind(1, revision_).Bind(2, key);
    if (value) {
      insert.Bind(3, *value);
    } else {
      insert.BindNull(3);
    }
    return insert.Run();
  }

  base::Status RemoveEndedLeases() {
    std::vector<LeaseId> ended;
    {
      ASSIGN_OR_RETURN(auto select, connection_->Prepare(
                                        "SELECT id FROM leases WHERE ends_ms <= ?1 OR boot <> ?2"));
      select.Bind(1, owner_.NowMs()).Bind(2, owner_.boot_id_);
      while (true) {
        ASSIGN_OR_RETURN(const bool row, select.Step());
        if (!row) break;
        ended.push_back(select.Int(0));
      }
    }
    for (const LeaseId lease : ended) RETURN_IF_ERROR(RemoveLease(lease));
    return {};
  }

  EmbeddedCoordinator& owner_;
  std::unique_ptr<sqlite::Connection> connection_;
  Revision revision_before_ = 0;
  Revision revision_ = 0;
};

base::Result<std::unique_ptr<EmbeddedCoordinator>> EmbeddedCoordinator::Open(
    env::Env& env, const std::string& path) {
  RETURN_IF_ERROR(env.MakeDirectories(env::DirectoryOf(path)));
  std::string boot_id = kNoBootId;
  if (base::Result<base::Bytes> read = env::ReadFile(env, kBootIdPath, 4096); read.ok()) {
    boot_id.assign(read->begin(), read->end());
    while (!boot_id.empty() && boot_id.back() == '\n') boot_id.pop_back();
  }
  std::unique_ptr<EmbeddedCoordinator> coordinator(
      new EmbeddedCoordinator(env, path, std::move(boot_id)));
  ASSIGN_OR_RETURN(auto connection, coordinator->Take());
  const std::string what = fmt::format("coordinator file {}", path);
  RETURN_IF_ERROR(connection->QueryText("PRAGMA journal_mode = WAL").status().WithContext(what));
  RETURN_IF_ERROR(connection->Execute("BEGIN IMMEDIATE").WithContext(what));
  RETURN_IF_ERROR(connection->Execute(kSchema).WithContext(what));
  ASSIGN_OR_RETURN(const int64_t schema, connection->QueryInt("SELECT schema FROM store"));
  if (schema != kSchemaVersion) {
    return base::InvalidArgument(fmt::format(
        "{} has schema {}, this version knows {}: all daemons of a group must be of one version",
        what, schema, kSchemaVersion));
  }
  RETURN_IF_ERROR(connection->Execute("COMMIT").WithContext(what));
  coordinator->GiveBack(std::move(connection));
  return coordinator;
}

base::Result<std::unique_ptr<sqlite::Connection>> EmbeddedCoordinator::Take() {
  {
    base::MutexLock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<sqlite::Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  sqlite::Connection::Options options;
  options.create = true;
  options.busy_timeout = kBusyTimeout;
  const std::string what = fmt::format("coordinator file {}", path_);
  base::Result<std::unique_ptr<sqlite::Connection>> opened =
      sqlite::Connection::Open(path_, options);
  if (!opened.ok()) return opened.status().WithContext(what);
  std::unique_ptr<sqlite::Connection> connection = std::move(opened).value();
  const base::Status settings =
      connection->Execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 500");
  if (!settings.ok()) return settings.WithContext(what);
  return connection;
}

void EmbeddedCoordinator::GiveBack(std::unique_ptr<sqlite::Connection> connection) {
  std::unique_ptr<sqlite::Connection> surplus;  // closed outside the lock
  base::MutexLock lock(mutex_);
  if (idle_.size() < kIdleConnectionsMax) {
    idle_.push_back(std::move(connection));
  } else {
    surplus = std::move(connection);
  }
}

int64_t EmbeddedCoordinator::NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(env_.Now().time_since_epoch())
      .count();
}

base::Result<KeyValue> EmbeddedCoordinator::Get(const std::string& key) {
  RETURN_IF_ERROR(CheckKey(key));
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  std::optional<KeyValue> pair;
  {
    ASSIGN_OR_RETURN(auto select,
                     session->connection().Prepare(
                         "SELECT key, value, created, modified, lease FROM pairs WHERE key = ?1"));
    select.Bind(1, key);
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (row) pair = PairOf(select);
  }
  RETURN_IF_ERROR(session->Commit());
  if (!pair) return base::NotFound(fmt::format("the coordinator has no key {}", key));
  return *std::move(pair);
}

base::Result<std::vector<KeyValue>> EmbeddedCoordinator::List(const std::string& prefix) {
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  std::vector<KeyValue> pairs;
  {
    ASSIGN_OR_RETURN(auto select, session->connection().Prepare(
                                      "SELECT key, value, created, modified, lease FROM pairs "
                                      "WHERE key >= ?1 AND (?2 = '' OR key < "
                                      "?2) ORDER BY key"));
    select.Bind(1, prefix).Bind(2, PrefixEnd(prefix));
    while (true) {
      ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) break;
      pairs.push_back(PairOf(select));
    }
  }
  RETURN_IF_ERROR(session->Commit());
  return pairs;
}

base::Result<TxnResult> EmbeddedCoordinator::Txn(const std::vector<Compare>& compares,
                                                 const std::vector<Operation>& operations) {
  RETURN_IF_ERROR(CheckTxn(compares, operations));
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  bool holds = true;
  for (const Compare& compare : compares) {
    ASSIGN_OR_RETURN(auto select,
                     session->connection().Prepare("SELECT modified FROM pairs WHERE key = ?1"));
    select.Bind(1, compare.key);
    ASSIGN_OR_RETURN(const bool row, select.Step());
    holds = holds && (row ? select.Int(0) : 0) == compare.modified;
  }
  if (holds) {
    for (const Operation& operation : operations) {
      if (!operation.value) {
        RETURN_IF_ERROR(session->Delete(operation.key));
        continue;
      }
      if (operation.lease != 0) {
        ASSIGN_OR_RETURN(auto find,
                         session->connection().Prepare("SELECT 1 FROM leases WHERE id = ?1"));
        find.Bind(1, operation.lease);
        ASSIGN_OR_RETURN(const bool alive, find.Step());
        if (!alive) {
          return base::NotFound(fmt::format("lease {} has ended", operation.lease));
        }
      }
      RETURN_IF_ERROR(session->Put(operation));
    }
  }
  RETURN_IF_ERROR(session->Commit());
  return TxnResult{holds, session->revision()};
}

base::Result<LeaseId> EmbeddedCoordinator::GrantLease(base::Duration ttl) {
  const int64_t ttl_ms = std::chrono::duration_cast<std::chrono::milliseconds>(ttl).count();
  if (ttl_ms <= 0) return base::InvalidArgument("a lease's time must be at least 1 ms");
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  ASSIGN_OR_RETURN(const int64_t id,
                   session->connection().QueryInt("SELECT next_lease FROM store"));
  RETURN_IF_ERROR(session->connection().Execute("UPDATE store SET next_lease = next_lease + 1"));
  {
    ASSIGN_OR_RETURN(auto insert,
                     session->connection().Prepare("INSERT INTO leases VALUES(?1, ?2, ?3, ?4)"));
    insert.Bind(1, id).Bind(2, ttl_ms).Bind(3, boot_id_).Bind(4, NowMs() + ttl_ms);
    RETURN_IF_ERROR(insert.Run());
  }
  RETURN_IF_ERROR(session->Commit());
  return id;
}

base::Status EmbeddedCoordinator::KeepAlive(LeaseId lease) {
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  bool found = false;
  {
    ASSIGN_OR_RETURN(auto update,
                     session->connection().Prepare(
                         "UPDATE leases SET ends_ms = ?2 + ttl_ms WHERE id = ?1 RETURNING id"));
    update.Bind(1, lease).Bind(2, NowMs());
    ASSIGN_OR_RETURN(found, update.Step());
  }
  RETURN_IF_ERROR(session->Commit());
  if (!found) return base::NotFound(fmt::format("lease {} has ended", lease));
  return {};
}

base::Status EmbeddedCoordinator::RevokeLease(LeaseId lease) {
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  RETURN_IF_ERROR(session->RemoveLease(lease));
  return session->Commit();
}

base::Result<Revision> EmbeddedCoordinator::CurrentRevision() {
  ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
  RETURN_IF_ERROR(session->Commit());
  return session->revision();
}

base::Result<Changes> EmbeddedCoordinator::ChangesSince(Revision revision) {
  ASSIGN_OR_RETURN(auto connection, Take());
  ASSIGN_OR_RETURN(Glance glance, Look(*connection));
  if (glance.ended_leases) {
    ASSIGN_OR_RETURN(auto session, Session::Begin(*this));
    RETURN_IF_ERROR(session->Commit());
    glance.revision = session->revision();
  }
  Changes changes;
  changes.revision = glance.revision;
  if (changes.revision > revision) RETURN_IF_ERROR(ReadChanges(*connection, revision, changes));
  GiveBack(std::move(connection));
  return changes;
}

// Without a write transaction: this is called many times a second.
base::Result<EmbeddedCoordinator::Glance> EmbeddedCoordinator::Look(
    sqlite::Connection& connection) {
  ASSIGN_OR_RETURN(auto select,
                   connection.Prepare("SELECT revision, EXISTS(SELECT 1 FROM leases WHERE ends_ms "
                                      "<= ?1 OR boot <> ?2) FROM store"));
  select.Bind(1, NowMs()).Bind(2, boot_id_);
  ASSIGN_OR_RETURN(const bool row, select.Step());
  if (!row) return base::Corruption(fmt::format("coordinator file {} lost its revision", path_));
  return Glance{select.Int(0), select.Int(1) != 0};
}

}  // namespace understudy::cluster
