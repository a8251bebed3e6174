// SPDX-License-Identifier: Apache-2.0
// Signal: lets one thread wait for several causes at once (a message came in, log became durable, a
// request was queued). Each Notify counts up; the waiter names the count it has seen, so no cause
// is lost between looking and waiting. Threading: thread-safe.
#pragma once

#include <cstdint>

#include "base/mutex.h"
#include "base/time.h"

namespace understudy::rpc {

class Signal {
 public:
  void Notify() EXCLUDES_LOCK(mutex_) {
    {
      base::MutexLock lock(mutex_);
      ++count_;
    }
    changed_.NotifyAll();  // not under the lock, which the woken thread takes first
  }
  uint64_t count() const EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    return count_;
  }
  // Waits until count() != seen or the limit has passed.
  void WaitFor(uint64_t seen, base::Duration limit) EXCLUDES_LOCK(mutex_) {
    const auto end = base::SteadyNow() + limit;
    base::MutexLock lock(mutex_);
    while (count_ == seen) {
      const auto left = end - base::SteadyNow();
      if (left <= base::Duration(0)) return;
      changed_.WaitFor(mutex_, left);
    }
  }

 private:
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  uint64_t count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace understudy::rpc
