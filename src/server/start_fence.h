// SPDX-License-Identifier: Apache-2.0
// StartFence: fences the databases that were left mounted (fence.h) when a start does not reach the
// coordinator soon: the lease that allowed them to be written ends, and another copy may be mounted
// then.
//
// Its thread "start-fence" waits for that moment by itself, because one attempt to reach an etcd
// that is cut off takes longer than a short lease. Threading: confined to the starting thread.
// Limits: kLockWait for a database.
#pragma once

#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "env/env.h"

namespace understudy::server {

class StartFence {
 public:
  static constexpr base::Duration kLockWait = std::chrono::seconds(1);

  // REQUIRES: the data directory's lock is held.
  StartFence(env::Env& env, std::string data_dir, base::Duration lease);
  ~StartFence();  // as Stop
  StartFence(const StartFence&) = delete;
  StartFence& operator=(const StartFence&) = delete;

  // The group was reached, and this server has a lease.
  // ENSURES: nothing of this has a database open, or will.
  void Stop() EXCLUDES_LOCK(mutex_);

 private:
  void Run(base::Duration patience) EXCLUDES_LOCK(mutex_);

  env::Env& env_;
  const std::string data_dir_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
