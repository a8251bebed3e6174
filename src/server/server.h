// SPDX-License-Identifier: Apache-2.0
// Server: all parts of a running server, and the order in which they begin and end. How it is
// reached (RPC, HTTP), which coordinator it uses and what makes it stop is its owner's: the daemon
// (daemon.cc), or the simulator.
//
// Made -> Announce (again and again, until the coordinator answers) -> Start -> Stop. Its doors may
// be opened as soon as it is made. Threading: its owner's thread; what it hands out is thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/admin.h"
#include "server/archive_watch.h"
#include "server/certificate_keeper.h"
#include "server/cluster_watch.h"
#include "server/failover_watch.h"
#include "server/failsafe.h"
#include "server/local_events.h"
#include "server/log_rules.h"
#include "server/members.h"
#include "server/rebalance_watch.h"
#include "server/schedule_watch.h"
#include "server/ship_sessions.h"
#include "server/web_status.h"

namespace understudy::server {

class Server {
 public:
  // Passive copies get this long to receive what was committed last.
  static constexpr base::Duration kShipGrace = std::chrono::seconds(2);

  struct Options {
    std::string data_dir;                          // locked by the owner (copy_directory.h)
    cluster::ServerRecord self;                    // without addresses
    GroupTls* tls = nullptr;                       // null: no TLS
    std::unique_ptr<etcd::EtcdMembers> etcd = {};  // may be null
    // Called once, on a thread of its own, when the group has revoked this server's certificate.
    std::function<void()> removed = {};
  };
  // kIoError when SQLite cannot be used at all.
  static base::Result<std::unique_ptr<Server>> Make(env::Env& env, Settings& settings,
                                                    cluster::Coordinator& coordinator,
                                                    rpc::Dialer& dialer, Options options);
  Server(env::Env& env, Settings& settings, cluster::Coordinator& coordinator, rpc::Dialer& dialer,
         Options options, const std::string& sqlite_version);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  rpc::AdminBackend& admin() { return admin_; }
  rpc::ShipAcceptor& ships() { return ships_; }
  Members& members() { return members_; }
  const web::StatusSource& web_status() const { return web_status_; }

  // Where others reach it. `before_copies`: ClusterWatch::Start.
  base::Status Announce(const std::string& address, const std::string& web,
                        const std::function<void()>& before_copies);
  void Start();
  // The settings were replaced.
  void Reloaded();
  // `close_doors` is called once nothing is left for other servers to fetch.
  void Stop(const std::function<void()>& close_doors);

 private:
  void RestFromPromises();

  env::Env& env_;
  Settings& settings_;
  Options options_;
  cluster::ServerRecord self_;
  cluster::Registry registry_;
  const std::shared_ptr<rpc::Signal> cluster_signal_ = std::make_shared<rpc::Signal>();
  EventLog events_;
  Authority authority_;
  Promises promises_;
  SeedTraffic seeds_;
  PeerAddresses addresses_;
  LocalEvents local_events_;
  LogRules log_rules_;
  const ServerContext context_;
  CopyHost host_;
  GroupCache cache_;
  BackupJobs backups_;
  Admin admin_;
  ShipSessions ships_;
  ClusterWatch watch_;
  ScrubService scrub_;
  Members members_;
  const WebStatus web_status_;
  // From Start on.
  std::optional<FailoverWatch> failover_;
  std::optional<Failsafe> failsafe_;
  std::optional<RebalanceWatch> rebalance_;
  std::optional<ArchiveWatch> archive_;
  std::optional<ScheduleWatch> schedule_;
  std::optional<CertificateKeeper> keeper_;
};

}  // namespace understudy::server
