// SPDX-License-Identifier: Apache-2.0
// Mutex, MutexLock and CondVar with clang's thread-safety annotations (libstdc++'s own have none).
//
// Put GUARDED_BY(mutex_) on every guarded member; the `clang` preset makes a violation an error.
// Never hold a Mutex across fsync, SQLite, an RPC or a callback. Every wait has a deadline.
// Threading: thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

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

  void Lock() US_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void Unlock() US_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
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
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool notified = condition_.wait_for(lock, limit) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace understudy::base
