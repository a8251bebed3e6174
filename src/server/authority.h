// SPDX-License-Identifier: Apache-2.0
// Authority: until when this server may have copies mounted, by its own steady clock.
//
// The lease's thread extends it with each keepalive of the server's lease that succeeded: to the
// lease's time after the *start* of that call, so it never outlasts the lease in the coordinator
// (docs/design/0006-who-is-active.md). In failsafe mode the other servers' promises extend it as
// well (failsafe.h); those hold even when the lease is lost. Copies dismount once less than
// margin() is left; whoever answers "this is the active copy" asks Valid() at that moment, so that
// a process that was stopped for long does not. Threading: thread-safe.
#pragma once

#include <algorithm>
#include <atomic>

#include "base/time.h"
#include "env/env.h"

namespace understudy::server {

class Authority {
 public:
  // Time for a dismount: to take a database's write lock, capture the rest and mark it.
  static constexpr base::Duration kMarginMin = std::chrono::milliseconds(200);
  static constexpr base::Duration kMarginMax = std::chrono::seconds(2);

  Authority(env::Env& env, base::Duration lease)
      : env_(env), margin_(std::clamp<base::Duration>(lease / 4, kMarginMin, kMarginMax)) {}

  void Extend(base::SteadyTime until) { lease_until_.store(until.time_since_epoch().count()); }
  void Withdraw() { lease_until_.store(0); }
  // Every other server has confirmed that this one goes on.
  void Confirm(base::SteadyTime until) { confirmed_until_.store(until.time_since_epoch().count()); }

  base::SteadyTime lease_until() const {
    return base::SteadyTime(base::SteadyTime::duration(lease_until_.load()));
  }
  base::SteadyTime until() const {
    return std::max(lease_until(),
                    base::SteadyTime(base::SteadyTime::duration(confirmed_until_.load())));
  }
  bool Valid() const { return env_.Now() < until(); }
  base::Duration margin() const { return margin_; }
  // When a mounted copy has to begin to dismount.
  base::SteadyTime dismount_at() const { return until() - margin_; }

 private:
  env::Env& env_;
  const base::Duration margin_;
  std::atomic<base::SteadyTime::rep> lease_until_{0};
  std::atomic<base::SteadyTime::rep> confirmed_until_{0};
};

}  // namespace understudy::server
