// SPDX-License-Identifier: Apache-2.0
// What the measurements of a path mean for a group, and what to change: here, or on a device on the
// way (docs/design/0034-diagnosing-a-path.md). Threading: pure functions.
#pragma once

#include "base/time.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

struct PathNeeds {
  base::Duration lease{};        // coordinator.lease
  base::Duration silence_max{};  // ship.silence_max
};

// Adds path.findings. REQUIRES: the rest of `path` is set.
void JudgePath(const PathNeeds& needs, v1::NetworkPath& path);

}  // namespace understudy::server
