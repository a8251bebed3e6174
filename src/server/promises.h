// SPDX-License-Identifier: Apache-2.0
// Promises: to which servers this one has promised, and until when, that it will not make copies
// active in place of theirs (failsafe mode, failsafe.h).
//
// A server that does not reach the coordinator stays active on the promises of all others, so a
// promise binds whatever the coordinator says meanwhile: the manager orders no failover, and a copy
// that was made active by a failover waits with its mount. Times are of this server's steady clock
// and begin when the question came in, after the asker began to count.
//
// A daemon that starts has forgotten what it promised: until RestUntil it acts as if it had
// promised everybody. Threading: thread-safe.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "base/mutex.h"
#include "env/env.h"

namespace understudy::server {

class Promises {
 public:
  explicit Promises(env::Env& env) : env_(env) {}

  void Promise(const std::string& server, base::SteadyTime until) EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    base::SteadyTime& known = until_[server];
    known = std::max(known, until);
  }
  void RestUntil(base::SteadyTime until) EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    rest_ = until;
  }
  // How long it still holds; zero: nothing is promised to it.
  base::Duration Left(const std::string& server) const EXCLUDES_LOCK(mutex_) {
    const base::SteadyTime now = env_.Now();
    base::MutexLock lock(mutex_);
    const auto found = until_.find(server);
    const base::SteadyTime until = found == until_.end() ? rest_ : std::max(rest_, found->second);
    return std::max(until - now, base::Duration(0));
  }

 private:
  env::Env& env_;
  mutable base::Mutex mutex_;
  std::map<std::string, base::SteadyTime> until_ GUARDED_BY(mutex_);  // one for each server
  base::SteadyTime rest_ GUARDED_BY(mutex_){};
};

}  // namespace understudy::server
