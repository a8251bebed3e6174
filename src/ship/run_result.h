// SPDX-License-Identifier: Apache-2.0
// What a RunOnce of this folder says to the thread that calls it.
// Threading: values.
#pragma once

#include "base/time.h"

namespace understudy::ship {

struct RunResult {
  bool worked = false;  // something was done: call again at once
  // Otherwise call again at this time at the latest, and whenever a message came in, the log
  // changed or the channel has room again.
  base::SteadyTime next = base::SteadyTime::max();

  void Sooner(base::SteadyTime time) {
    if (time < next) next = time;
  }
};

}  // namespace understudy::ship
