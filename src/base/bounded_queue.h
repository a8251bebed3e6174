// SPDX-License-Identifier: Apache-2.0
// BoundedQueue<T>: how values move from one thread to another. Its capacity is a named constant of
// the caller; full means wait until a deadline or refuse, never grow. Threading: thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace understudy::base {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False, and `value` untouched, when full or closed.
  bool TryPush(T&& value) EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    changed_.NotifyAll();
    return true;
  }

  // Waits up to `limit` for room. False, and `value` untouched, when it stayed full or is closed.
  bool Push(T&& value, std::chrono::nanoseconds limit) EXCLUDES_LOCK(mutex_) {
    const auto end = SteadyNow() + limit;
    MutexLock lock(mutex_);
    while (!closed_ && items_.size() >= capacity_) {
      const auto left = end - SteadyNow();
      if (left <= std::chrono::nanoseconds(0)) return false;
      changed_.WaitFor(mutex_, left);
    }
    if (closed_) return false;
    items_.push_back(std::move(value));
    changed_.NotifyAll();
    return true;
  }

  // Waits up to `limit` for a value; nothing when none came, or when closed and drained.
  std::optional<T> Pop(std::chrono::nanoseconds limit) EXCLUDES_LOCK(mutex_) {
    const auto end = SteadyNow() + limit;
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) {
      const auto left = end - SteadyNow();
      if (left <= std::chrono::nanoseconds(0)) return std::nullopt;
      changed_.WaitFor(mutex_, left);
    }
    if (items_.empty()) return std::nullopt;
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    changed_.NotifyAll();
    return value;
  }

  // After this, pushes are refused; values already inside can still be popped.
  void Close() EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.NotifyAll();
  }

  size_t size() const EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return items_.size();
  }
  bool closed() const EXCLUDES_LOCK(mutex_) {
    MutexLock lock(mutex_);
    return closed_;
  }

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<T> items_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace understudy::base
