// SPDX-License-Identifier: Apache-2.0
// Supervisor: runs the daemon as its child, for where no service manager does: starts it again when
// it crashed, and applies the fence (fence.h) when it does not stay up. Signals that a daemon knows
// are passed on. The child ends when the supervisor dies. Threading: the process's only thread.
#pragma once

#include <string>

#include "env/env.h"

namespace understudy::server {

// Returns the exit code for the process: the child's after a stop that was asked for.
int RunSupervised(env::Env& env, const std::string& config_path);

}  // namespace understudy::server
