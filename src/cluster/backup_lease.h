// SPDX-License-Identifier: Apache-2.0
// BackupLease and BackupArbiter: one backup of a database at a time in the whole group, whichever
// copy it reads, and a queue of those that wait, with their names.
//
//   backups/<database>               BackupLease of the one that runs; leased
//   backup_queue/<database>/<id>     BackupLease of one that waits; leased
//
// Both kinds of key hang on a coordinator lease of the session, which it keeps alive by short
// messages: a connection that is cut for less than that is nothing but an event, and a session
// whose daemon has died blocks nobody for longer. Who waits longest is next. Nothing here waits:
// callers try again.
//
// Threading: thread-safe. Errors: the coordinator's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "cluster/coordinator.h"

namespace understudy::cluster {

struct BackupLease {
  std::string id;  // of the session
  std::string database;
  std::string server;     // whose copy is read
  std::string role;       // of that copy
  std::string requester;  // "backup run", "betest", a program's name
  std::string type;       // "full", …
  std::string phase;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  base::Position first;  // the log range at the active copy when it began; empty: not known
  base::Position last;
  base::WallTime began;
  base::WallTime renewed;
};
std::string ToJson(const BackupLease& lease);
base::Result<BackupLease> BackupLeaseFromJson(std::string_view key, const std::string& text);
// "backup 20261126T… (full, of the passive copy on s3, for betest, since …; Transfer, 45 %)"
std::string ToString(const BackupLease& lease);

class BackupArbiter {
 public:
  static constexpr const char* kBackupsPrefix = "backups/";
  static constexpr const char* kQueuePrefix = "backup_queue/";
  static constexpr size_t kQueueMax = 64;  // of one database

  explicit BackupArbiter(Coordinator& coordinator) : coordinator_(coordinator) {}

  struct Turn {
    bool ours = false;
    std::optional<BackupLease> holder;  // of the turn, when it is not ours; may just have ended
    size_t before_us = 0;               // how many others wait longer
  };
  // Takes the turn if it is free and nobody waits longer; else waits in the queue from now on.
  // kBusy: the queue is full. A session that has the turn already, from before a restart, keeps it.
  base::Result<Turn> Try(const BackupLease& wanted, LeaseId lease);
  // Writes what is new. kNotFound: the turn was lost; Try takes it again if it is free.
  base::Status Renew(const BackupLease& held, LeaseId lease);
  // Gives the turn or the place in the queue back; fine when it is gone already.
  base::Status End(const BackupLease& held);

  base::Result<std::optional<BackupLease>> Holder(const std::string& database);
  base::Result<std::vector<BackupLease>> Waiting(const std::string& database);  // longest first

 private:
  Coordinator& coordinator_;
};

}  // namespace understudy::cluster
