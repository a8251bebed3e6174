// SPDX-License-Identifier: Apache-2.0
// Listeners: the browsers that a StateStream is sent to.
//
// It owns the thread "web-stream", which takes a snapshot every kStreamInterval while somebody
// listens, and notes one in the LagHistory every LagHistory::kInterval, always. A listener that
// does not read is let go when kListenerBytesMax wait for it, or some for kStallLimit; one that
// sends anything more, at once. Threading: thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "web/lag_history.h"
#include "web/state_stream.h"
#include "web/status_source.h"

namespace understudy::web {

inline constexpr size_t kListenersMax = 32;
inline constexpr size_t kListenerBytesMax = 4 << 20;
inline constexpr base::Duration kStreamInterval = std::chrono::seconds(1);
inline constexpr base::Duration kStallLimit = std::chrono::seconds(30);

class Listeners {
 public:
  // Both are borrowed.
  Listeners(const StatusSource& source, LagHistory& history);
  ~Listeners() { Stop(); }
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  bool full() const { return count_ >= kListenersMax; }
  // Owns `socket`, to which the head of the answer was sent, from now on; closes it when full.
  void Take(int socket, std::string last_event_id) EXCLUDES_LOCK(mutex_);
  // Closes all and joins.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct Listener {
    int socket = -1;
    std::string last_event_id;
    std::string waiting;        // what is still to be sent
    Clock::time_point moved{};  // when some of it was sent last
    bool greeted = false;
    bool gone = false;
  };

  void Run();
  void Adopt() EXCLUDES_LOCK(mutex_);
  void Tell(const Snapshot& snapshot, Clock::time_point now);
  void WaitUntil(Clock::time_point end);
  static void Send(Listener& listener, Clock::time_point now);
  void LetGo();
  void Wake() const;

  const StatusSource& source_;
  LagHistory& history_;
  const int wake_;  // an eventfd
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> count_{0};

  // The thread's.
  StateStream stream_;
  std::vector<Listener> listeners_;
  Clock::time_point next_frame_{};

  base::Mutex mutex_;
  std::vector<Listener> new_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace understudy::web
