// SPDX-License-Identifier: Apache-2.0
// BackupTurn: one session's right to back up a database, kept alive.
//
// The right is a key of the coordinator (cluster/backup_lease.h) and a word to the active copy's
// server, both renewed by short messages. Neither being away ends a backup: what it cannot say now
// it says later, and what it goes on without is told once, in an event.
//
// Threading: thread-safe; calls to the coordinator and to the peer are made without a lock held.
#pragma once

#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/progress.h"
#include "cluster/backup_lease.h"
#include "server/context.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

class BackupTurn {
 public:
  // `lasts`: how long a silent session keeps it.
  BackupTurn(const ServerContext& context, cluster::BackupLease lease, base::Duration lasts);
  ~BackupTurn() = default;
  BackupTurn(const BackupTurn&) = delete;
  BackupTurn& operator=(const BackupTurn&) = delete;

  // One attempt. Who has it, or nothing: it is ours, or the coordinator is away (then note() says
  // so, and the active copy's server is the only arbiter).
  base::Result<std::optional<std::string>> Try();
  // The active copy's log range; its server is told of the backup. kUnavailable, kTimedOut: it does
  // not answer within `limit`; kBusy names another backup that it knows.
  base::Status AskLogRange(const std::string& active, base::Duration limit);

  void SetRole(const std::string& role) EXCLUDES_LOCK(mutex_);  // of the copy that is read
  void SetProgress(const std::string& phase, const base::Progress& progress) EXCLUDES_LOCK(mutex_);
  // Says that it goes on, when that is due. Called about once a second.
  void RenewIfDue();
  void End(bool succeeded);

  cluster::BackupLease lease() const EXCLUDES_LOCK(mutex_);
  std::string note() const EXCLUDES_LOCK(mutex_);

 private:
  base::Status RenewTurn();
  base::Result<v1::AnnounceBackupResponse> Announce(const std::string& active, bool ended,
                                                    bool succeeded, base::Duration limit);
  void Note(bool BackupTurn::* told, bool away, const std::string& what) EXCLUDES_LOCK(mutex_);
  bool ended() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  const base::Duration lasts_;

  mutable base::Mutex mutex_;
  cluster::BackupLease lease_ GUARDED_BY(mutex_);
  cluster::LeaseId coordinator_lease_ GUARDED_BY(mutex_) = 0;
  bool ours_ GUARDED_BY(mutex_) = false;
  bool waits_ GUARDED_BY(mutex_) = true;  // for its turn: the queue's place is all there is to keep
  std::string active_ GUARDED_BY(mutex_);             // that was asked; empty: none
  bool told_coordinator_ GUARDED_BY(mutex_) = false;  // that it is away
  bool told_active_ GUARDED_BY(mutex_) = false;
  std::string note_ GUARDED_BY(mutex_);
  base::SteadyTime next_renewal_ GUARDED_BY(mutex_){};
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace understudy::server
