// SPDX-License-Identifier: Apache-2.0
// Mutex, MutexLock and CondVar with clang's thread-safety annotations (libstdc++'s own have none).
//
// Put GUARDED_BY(mutex_) on every guarded member; the `clang` preset makes a violation an error.
// Never hold a Mutex across fsync, SQLite, an RPC or a callback. Every wait has a deadline.
// Under a Scheduler (scheduler.h) they are its own. Threading: thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/scheduler.h"

#if defined(__clang__)
#define US_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define US_THREAD_ANNOTATION(x)
#endif
#if !defined(GUARDED_BY)  // Abseil, which gRPC brings in, has the same one
#define GUARDED_BY(x) US_THREAD_ANNOTATION(guarded_by(x))
#endif
#define REQUIRES_LOCK(...) US_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES_LOCK(...) US_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace understudy::base {

class US_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() US_THREAD_ANNOTATION(acquire_capability()) {
    if (Scheduler* const scheduler = InstalledScheduler(); scheduler != nullptr) {
      while (held_) scheduler->WaitFor(this, Duration::max());
      held_ = true;
    } else {
      mutex_.lock();
    }
  }
  void Unlock() US_THREAD_ANNOTATION(release_capability()) {
    if (Scheduler* const scheduler = InstalledScheduler(); scheduler != nullptr) {
      held_ = false;
      scheduler->Wake(this, false);
    } else {
      mutex_.unlock();
    }
  }

 private:
  friend class CondVar;
  std::mutex mutex_;
  bool held_ = false;  // under a Scheduler
};

class US_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) US_THREAD_ANNOTATION(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() US_THREAD_ANNOTATION(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  // Waits until notified or `limit` has passed (spurious wake-ups happen: look at the condition
  // again). Returns false when the limit passed.
  bool WaitFor(Mutex& mutex, std::chrono::nanoseconds limit) REQUIRES_LOCK(mutex) {
    if (Scheduler* const scheduler = InstalledScheduler(); scheduler != nullptr) {
      mutex.Unlock();
      const bool notified = scheduler->WaitFor(this, limit);
      mutex.Lock();
      return notified;
    }
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool notified = condition_.wait_for(lock, limit) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { Notify(false); }
  void NotifyAll() { Notify(true); }

 private:
  void Notify(bool all) {
    if (Scheduler* const scheduler = InstalledScheduler(); scheduler != nullptr) {
      scheduler->Wake(this, all);
    } else if (all) {
      condition_.notify_all();
    } else {
      condition_.notify_one();
    }
  }

  std::condition_variable condition_;
};

}  // namespace understudy::base
