// SPDX-License-Identifier: Apache-2.0
// RebalanceWatch: where the group is set to it (GroupRecord::rebalance_every), the server that is
// elected to be the manager moves active copies to where their activation preference says
// (cluster/rebalance.h decides).
//
// Its thread "rebalance" is not the manager's: a switchover takes its time, and a failover must not
// wait for it. Threading: thread-safe.
#pragma once

#include <map>
#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "server/admin.h"
#include "server/context.h"

namespace understudy::server {

class RebalanceWatch {
 public:
  RebalanceWatch(const ServerContext& context, Admin& admin);
  ~RebalanceWatch();  // as Stop
  RebalanceWatch(const RebalanceWatch&) = delete;
  RebalanceWatch& operator=(const RebalanceWatch&) = delete;
  void Stop();

 private:
  void Run();
  void Look(base::SteadyTime now);

  const ServerContext context_;
  Admin& admin_;

  // Used by the thread only.
  base::SteadyTime since_;                   // the last time it was done, or there was no reason to
  std::map<std::string, std::string> told_;  // failures, by database

  base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
