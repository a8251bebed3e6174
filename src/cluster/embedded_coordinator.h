// SPDX-License-Identifier: Apache-2.0
// EmbeddedCoordinator: the Coordinator of several daemons on one machine, kept in one SQLite file.
//
// Made for the lab, the tests and a laptop: the file must be on a local disk that all daemons
// share, because SQLite's locks and the machine's steady clock are what makes it consistent. SQLite
// is used as any application would use it (WAL, synchronous FULL: a term once given is never given
// again, not even after a power cut). A lease's deadline is a steady-clock time beside the
// machine's boot id: after a reboot every old lease has ended. Ended leases are removed by whatever
// call comes next, in its own transaction.
//
// Threading: thread-safe: calls take connections from a small pool, SQLite orders them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cluster/coordinator.h"
#include "env/env.h"
#include "sqlite/connection.h"

namespace understudy::cluster {

class EmbeddedCoordinator final : public Coordinator {
 public:
  static constexpr base::Duration kBusyTimeout = std::chrono::seconds(5);
  static constexpr size_t kIdleConnectionsMax = 4;

  // `path` is the SQLite file; its directory is made if absent. kBusy when another process makes it
  // at this moment (SQLite does not wait for the change to WAL mode): try again.
  static base::Result<std::unique_ptr<EmbeddedCoordinator>> Open(env::Env& env,
                                                                 const std::string& path);

  base::Result<KeyValue> Get(const std::string& key) override;
  base::Result<std::vector<KeyValue>> List(const std::string& prefix) override;
  base::Result<TxnResult> Txn(const std::vector<Compare>& compares,
                              const std::vector<Operation>& operations) override;
  base::Result<LeaseId> GrantLease(base::Duration ttl) override;
  base::Status KeepAlive(LeaseId lease) override;
  base::Status RevokeLease(LeaseId lease) override;
  base::Result<Revision> CurrentRevision() override;
  base::Result<Changes> ChangesSince(Revision revision) override;

 private:
  class Session;
  struct Glance {
    Revision revision = 0;
    bool ended_leases = false;
  };

  EmbeddedCoordinator(env::Env& env, std::string path, std::string boot_id)
      : env_(env), path_(std::move(path)), boot_id_(std::move(boot_id)) {}
  base::Result<std::unique_ptr<sqlite::Connection>> Take() EXCLUDES_LOCK(mutex_);
  void GiveBack(std::unique_ptr<sqlite::Connection> connection) EXCLUDES_LOCK(mutex_);
  base::Result<Glance> Look(sqlite::Connection& connection);
  int64_t NowMs();

  env::Env& env_;
  const std::string path_;
  const std::string boot_id_;
  base::Mutex mutex_;
  std::vector<std::unique_ptr<sqlite::Connection>> idle_ GUARDED_BY(mutex_);
};

}  // namespace understudy::cluster
