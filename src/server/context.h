// SPDX-License-Identifier: Apache-2.0
// What every part of the server shares: the environment, the settings that may change while it
// runs, the registry, and the event log.
//
// EventLog::Add writes a diagnostic line at once and queues the event; the cluster thread writes it
// to the registry (the coordinator may be slow or away, and events come from threads that must not
// wait). Threading: Settings and EventLog are thread-safe; ServerContext is a struct of references.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "cluster/registry.h"
#include "env/env.h"
#include "rpc/dialer.h"
#include "rpc/signal.h"
#include "server/authority.h"
#include "server/config.h"
#include "server/peer_addresses.h"
#include "server/promises.h"
#include "server/seed_traffic.h"
#include "web/status_source.h"

namespace understudy::server {

class GroupTls;
class LocalEvents;
class LogRules;

class Settings {
 public:
  explicit Settings(Config config) : config_(std::move(config)) {}
  Config Get() const EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    return config_;
  }
  void Replace(Config config) EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    config_ = std::move(config);
  }

 private:
  mutable base::Mutex mutex_;
  Config config_ GUARDED_BY(mutex_);
};

class EventLog {
 public:
  static constexpr size_t kQueuedEventsMax = 1024;

  // `changed` is notified at every Add.
  EventLog(env::Env& env, std::string server, std::shared_ptr<rpc::Signal> changed)
      : env_(env), server_(std::move(server)), changed_(std::move(changed)) {}

  // When the queue is full the event is in the diagnostics only.
  void Add(cluster::EventNumber number, cluster::Severity severity, const std::string& database,
           const std::string& message);
  std::optional<cluster::Event> Take() { return queue_.Pop(base::Duration(0)); }
  // How many there were, of each number and severity, whether the queue was full or not.
  std::vector<web::EventCount> Counts() const EXCLUDES_LOCK(mutex_);

 private:
  env::Env& env_;
  const std::string server_;
  const std::shared_ptr<rpc::Signal> changed_;
  base::BoundedQueue<cluster::Event> queue_{kQueuedEventsMax};
  mutable base::Mutex mutex_;
  std::map<std::pair<cluster::EventNumber, cluster::Severity>, uint64_t> counts_ GUARDED_BY(mutex_);
};

struct ServerContext {
  env::Env& env;
  Settings& settings;
  cluster::Registry& registry;
  EventLog& events;
  Authority& authority;
  Promises& promises;
  std::string server;            // our name
  GroupTls* tls = nullptr;       // null: no TLS
  SeedTraffic* seeds = nullptr;  // null: seeds are not bounded
  rpc::Dialer& dialer = rpc::GrpcDialer();
  PeerAddresses* addresses = nullptr;   // null: the coordinator is asked each time
  LogRules* log_rules = nullptr;        // null: nothing is known of other copies and backups
  LocalEvents* local_events = nullptr;  // null: events are kept in the coordinator only
};

}  // namespace understudy::server
