// SPDX-License-Identifier: Apache-2.0
#include "cli/pause.h"

#include <poll.h>

namespace understudy::cli {

void Pause(base::Duration length) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(length).count();
  ::poll(nullptr, 0, static_cast<int>(ms));
}

}  // namespace understudy::cli
