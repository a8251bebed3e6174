// SPDX-License-Identifier: Apache-2.0
// FailoverWatch: the one server that is elected to it makes another copy the active one where the
// active's server is gone (cluster/activation.h decides; docs/design/0006-who-is-active.md).
//
// Its thread "manager" looks when the group has changed, and once in a while. Every move is a
// compare-and-set on the record that was decided on, and on the absence of the active's lease: two
// servers that both believe to be elected do no harm. Threading: thread-safe.
#pragma once

#include <map>
#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "server/cluster_watch.h"
#include "server/context.h"
#include "server/copy_host.h"
#include "server/group_view.h"

namespace understudy::server {

class FailoverWatch {
 public:
  FailoverWatch(const ServerContext& context, CopyHost& host, ClusterWatch& watch);
  ~FailoverWatch();  // as Stop
  FailoverWatch(const FailoverWatch&) = delete;
  FailoverWatch& operator=(const FailoverWatch&) = delete;
  void Stop();

 private:
  void Run();
  base::Status Look(base::SteadyTime now);
  void ReportLostServers(const GroupView& group);
  base::Duration FailedFor(const GroupView& group, const cluster::DatabaseRecord& database,
                           base::SteadyTime now);
  base::Status Act(const cluster::DatabaseView& view, const cluster::Need& need,
                   base::SteadyTime now);
  base::Status Relinquish(const cluster::DatabaseRecord& record);
  void ReportImpossible(const cluster::DatabaseRecord& record, const std::string& why);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  CopyHost& host_;
  ClusterWatch& watch_;

  // Used by the thread only.
  std::map<std::string, bool> alive_;                     // servers as last seen
  std::map<std::string, base::SteadyTime> failed_since_;  // of active copies, by database
  // Copies that were tried in vain, by database and server.
  std::map<std::string, std::map<std::string, base::SteadyTime>> tried_;
  std::map<std::string, std::string> told_;  // why a failover was impossible, by database
  std::string last_error_;

  mutable base::Mutex mutex_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
