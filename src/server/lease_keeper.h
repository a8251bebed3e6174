// SPDX-License-Identifier: Apache-2.0
// LeaseKeeper: this server's lease in the coordinator, and with it its authority to have copies
// mounted.
//
// Its thread "lease" does nothing else: reading the registry and writing events takes many round
// trips, and a coordinator that is far away must not cost the lease. (A renewal alone takes five
// where etcd's leader is at another site.) A renewal counts from its start. After a lease was lost
// the next one counts only once the cluster thread has read the registry under it (Read): who is
// active may be another server since.
//
// Threading: Start and Stop are called by the owner; the rest is thread-safe. Errors: the
// coordinator's; kAlreadyExists when a live server of that name has another identity; kFenced when
// this server was removed from the group.
#pragma once

#include <atomic>

#include "base/mutex.h"
#include "base/thread.h"
#include "cluster/coordinator.h"
#include "cluster/records.h"
#include "rpc/signal.h"
#include "server/context.h"

namespace understudy::server {

class LeaseKeeper {
 public:
  explicit LeaseKeeper(const ServerContext& context) : context_(context) {}
  ~LeaseKeeper();  // as Stop, without ending the lease
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  // Takes the lease and announces the server, then keeps it.
  base::Status Start(cluster::ServerRecord self);
  // `end_lease`: in the coordinator too; else it ends by itself.
  void Stop(bool end_lease);

  cluster::LeaseId lease() const { return lease_; }  // 0: none right now
  // The registry was read, all of it or what has changed, by a call that began under `lease`.
  void Read(cluster::LeaseId lease) EXCLUDES_LOCK(mutex_);

 private:
  void Run();
  base::Status Keep();
  void Extend(base::SteadyTime until) EXCLUDES_LOCK(mutex_);
  void Lost() EXCLUDES_LOCK(mutex_);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  cluster::ServerRecord self_;  // constant after Start
  std::atomic<cluster::LeaseId> lease_ = 0;
  rpc::Signal wake_;

  // Used by the thread only, once it runs.
  base::SteadyTime next_{};
  bool announced_ = false;  // under lease_
  std::string last_error_;

  mutable base::Mutex mutex_;
  cluster::LeaseId read_under_ GUARDED_BY(mutex_) = 0;
  base::SteadyTime until_ GUARDED_BY(mutex_){};  // what lease_ is good for
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
