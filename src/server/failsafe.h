// SPDX-License-Identifier: Apache-2.0
// Failsafe mode: active copies stay mounted while the coordinator is away, as long as every other
// server of the group confirms it (Patroni's rule; docs/design/0006-who-is-active.md).
//
// Its thread "failsafe" looks at this server's authority. When the lease could not be renewed and
// less than kAskWhenLeft of it is left, it asks all other servers that the registry is known to
// have, at once. Each that confirms promises not to take over for one lease time (promises.h); if
// all do, the authority is extended to one lease time after the questions began. One that does not
// answer, or has seen another active copy or a higher term, or does not know the mode, is enough to
// let the lease end: then the copies are dismounted in time, as without this mode.
//
// Threading: Failsafe is confined to its thread, but for Stop. AnswerConfirm is thread-safe.
#pragma once

#include <map>
#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "server/context.h"
#include "server/copy_host.h"
#include "server/group_cache.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

// No server asks for a longer promise.
inline constexpr base::Duration kPromiseMax = std::chrono::minutes(5);

class Failsafe {
 public:
  Failsafe(const ServerContext& context, const CopyHost& host, const GroupCache& cache);
  ~Failsafe();  // as Stop
  Failsafe(const Failsafe&) = delete;
  Failsafe& operator=(const Failsafe&) = delete;
  void Stop();

 private:
  void Run();
  void Look(base::SteadyTime now);
  // Their names, and where they are as far as the registry was read.
  void Ask(base::SteadyTime now, const std::map<std::string, std::string>& others);
  void Left();

  const ServerContext context_;
  const CopyHost& host_;
  const GroupCache& cache_;

  // Used by the thread only.
  bool entered_ = false;      // it goes on by promises
  std::string told_refusal_;  // why not, in an event already

  base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

// What this server answers to another one's question, and keeps.
v1::ConfirmResponse AnswerConfirm(const ServerContext& context, const CopyHost& host,
                                  const GroupCache& cache, const v1::ConfirmRequest& request);

}  // namespace understudy::server
