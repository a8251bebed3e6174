// SPDX-License-Identifier: Apache-2.0
#include "server/wall_clock.h"

#include <algorithm>
#include <utility>

namespace understudy::server {

base::Duration WallClock::Observe(base::SteadyTime steady, base::WallTime wall) {
  const base::Duration ahead = std::chrono::milliseconds(wall.unix_ms) - steady.time_since_epoch();
  const base::Duration before = std::exchange(ahead_, ahead).value_or(ahead);
  return std::max<base::Duration>(before - ahead, base::Duration(0));
}

}  // namespace understudy::server
