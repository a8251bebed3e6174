// SPDX-License-Identifier: Apache-2.0
// Thread: a thread of the operating system, or of the installed Scheduler. Its owner joins it.
// Threading: thread-compatible.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/scheduler.h"

namespace understudy::base {

class Thread {
 public:
  Thread() = default;
  template <typename Body>
    requires(!std::is_same_v<std::decay_t<Body>, Thread>)
  explicit Thread(Body&& body) {
    if (InstalledScheduler() == nullptr) {
      thread_ = std::thread(std::forward<Body>(body));
      return;
    }
    auto shared = std::make_shared<std::decay_t<Body>>(std::forward<Body>(body));
    scheduled_ = InstalledScheduler()->Start([shared] { (*shared)(); });
  }
  Thread(Thread&& other) noexcept { *this = std::move(other); }
  Thread& operator=(Thread&& other) noexcept {
    CHECK(!joinable());
    thread_ = std::move(other.thread_);
    scheduled_ = std::exchange(other.scheduled_, std::nullopt);
    return *this;
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() { CHECK(!joinable()); }

  bool joinable() const { return thread_.joinable() || scheduled_.has_value(); }
  // REQUIRES: joinable().
  void Join() {
    if (scheduled_) {
      InstalledScheduler()->Join(*std::exchange(scheduled_, std::nullopt));
    } else {
      thread_.join();
    }
  }

 private:
  std::thread thread_;
  std::optional<Scheduler::ThreadId> scheduled_;
};

// Lets others run, where something is looked for again and again for a moment.
inline void Yield() {
  if (InstalledScheduler() != nullptr) {
    InstalledScheduler()->Yield();
  } else {
    std::this_thread::yield();
  }
}

}  // namespace understudy::base
