// SPDX-License-Identifier: Apache-2.0
// TaskQueue<Component>: how other threads get something done on the thread that a component is
// confined to.
//
// Call waits for the result up to a limit; a task whose caller gave up still runs, and its result
// is dropped. Post does not wait. The owning thread calls RunAll in its loop, with null while it
// has no component (the task then answers kUnavailable). `wake` is called after each push, to make
// the owning thread look. Threading: thread-safe, except RunAll: the owning thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/time.h"

namespace understudy::server {

template <typename Component>
class TaskQueue {
 public:
  static constexpr size_t kTasksMax = 256;
  using Task = std::function<void(Component*)>;

  explicit TaskQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

  // False when full or closed.
  bool Post(Task task) {
    if (!tasks_.TryPush(std::move(task))) return false;
    wake_();
    return true;
  }

  template <typename Value>
  base::Result<Value> Call(std::function<base::Result<Value>(Component&)> function,
                           base::Duration limit) {
    auto answer = std::make_shared<Answer<Value>>();
    const bool posted = Post([answer, function = std::move(function)](Component* component) {
      answer->Set(component != nullptr ? function(*component)
                                       : base::Result<Value>(base::Unavailable(
                                             "the copy is not mounted or not replaying now")));
    });
    if (!posted) return base::Busy("the copy has too many requests waiting, or is being closed");
    return answer->Wait(limit);
  }

  void RunAll(Component* component) {
    for (size_t i = 0; i < kTasksMax; ++i) {
      std::optional<Task> task = tasks_.Pop(base::Duration(0));
      if (!task) return;
      (*task)(component);
    }
  }
  // Refuses further tasks and answers the waiting ones.
  void Close() {
    tasks_.Close();
    RunAll(nullptr);
  }

 private:
  template <typename Value>
  class Answer {
   public:
    void Set(base::Result<Value> result) {
      base::MutexLock lock(mutex_);
      result_ = std::move(result);
      changed_.NotifyAll();
    }
    base::Result<Value> Wait(base::Duration limit) {
      const auto end = base::SteadyNow() + limit;
      base::MutexLock lock(mutex_);
      while (!result_) {
        const auto left = end - base::SteadyNow();
        if (left <= base::Duration(0)) return base::TimedOut("the copy did not answer in time");
        changed_.WaitFor(mutex_, left);
      }
      return std::move(*result_);
    }

   private:
    base::Mutex mutex_;
    base::CondVar changed_;
    std::optional<base::Result<Value>> result_ GUARDED_BY(mutex_);
  };

  const std::function<void()> wake_;
  base::BoundedQueue<Task> tasks_{kTasksMax};
};

}  // namespace understudy::server
