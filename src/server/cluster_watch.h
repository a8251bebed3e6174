// SPDX-License-Identifier: Apache-2.0
// ClusterWatch: this server's side of the coordinator. Its thread "cluster" hands changes of the
// registry to the CopyHost, writes queued events, and publishes the state of our copies; the lease
// is kept by LeaseKeeper's.
//
// While the coordinator is away everything that runs goes on; events wait in their queue.
// Threading: thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/thread.h"
#include "rpc/signal.h"
#include "server/context.h"
#include "server/copy_host.h"
#include "server/group_cache.h"
#include "server/lease_keeper.h"

namespace understudy::server {

class ClusterWatch {
 public:
  // `signal` wakes the thread (the EventLog notifies it). Start announces the server and fails if
  // that is impossible.
  ClusterWatch(const ServerContext& context, CopyHost& host, GroupCache& cache,
               std::shared_ptr<rpc::Signal> signal);
  ~ClusterWatch();  // as Stop
  ClusterWatch(const ClusterWatch&) = delete;
  ClusterWatch& operator=(const ClusterWatch&) = delete;

  // `before_copies` is called once the registry was read, before the CopyHost hears of it.
  base::Status Start(cluster::ServerRecord self, const std::function<void()>& before_copies);
  // Writes what is queued, ends the lease and joins.
  void Stop();

  void Nudge() { signal_->Notify(); }                // look at the registry now
  rpc::Signal& events_changed() { return events_; }  // notified when the registry has a new event
  // Notified when servers, databases or what holds for the group have changed.
  rpc::Signal& group_changed() { return group_; }
  rpc::Signal& refreshed() { return refreshed_; }  // notified when the cache is as of now
  const GroupCache& cache() const { return cache_; }
  cluster::LeaseId lease() const { return keeper_.lease(); }  // 0: none right now

 private:
  void Run();
  base::Status Poll(const std::function<void()>& before_copies = nullptr);
  void Announce(base::SteadyTime now);
  bool WriteEvents();  // true: there may be more
  void PublishStatus(base::SteadyTime now);
  void Report(const base::Status& status);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  CopyHost& host_;
  GroupCache& cache_;
  const std::shared_ptr<rpc::Signal> signal_;
  LeaseKeeper keeper_;
  cluster::ServerRecord self_;  // constant after Start
  rpc::Signal events_;
  rpc::Signal group_;
  rpc::Signal refreshed_;

  // Used by the thread only, once it runs.
  base::SteadyTime next_publish_{};
  base::SteadyTime next_announce_{};
  std::optional<cluster::Revision> seen_;
  std::vector<cluster::Event> unwritten_;
  std::map<std::string, std::string> published_;  // database -> record without its time
  std::string last_error_;

  mutable base::Mutex mutex_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
