// SPDX-License-Identifier: Apache-2.0
// Pause: how somebody waits who has nothing to do meanwhile; a test moves its clock instead.
// Threading: what PauseThread does to the thread that calls it.
#pragma once

#include <functional>

#include "base/time.h"

namespace understudy::store {

using Pause = std::function<void(base::Duration)>;
void PauseThread(base::Duration duration);

}  // namespace understudy::store
