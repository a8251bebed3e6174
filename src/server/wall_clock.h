// SPDX-License-Identifier: Apache-2.0
// WallClock: notices that the wall clock was set back, by comparing it with the steady one.
//
// Nothing of ours waits by the wall clock, but gRPC's timers do (over Abseil, of Debian 12): after
// a step back its deadlines and reconnects come later by as much, so that a server which was cut
// off at that moment would stay away for that time. The daemon begins anew then, as after a crash,
// which it survives. Threading: thread-compatible.
#pragma once

#include <optional>

#include "base/time.h"

namespace understudy::server {

class WallClock {
 public:
  // What is put up with: limits of calls and leases are of this size.
  static constexpr base::Duration kStepBackMax = std::chrono::seconds(3);

  // By how much the wall clock was set back since the last call; zero when it was not.
  base::Duration Observe(base::SteadyTime steady, base::WallTime wall);

 private:
  std::optional<base::Duration> ahead_;  // of the steady clock
};

}  // namespace understudy::server
