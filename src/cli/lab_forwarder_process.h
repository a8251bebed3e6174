// SPDX-License-Identifier: Apache-2.0
// The forwarder as a process of its own (`understudy lab-forwarder`, started by `lab up`): one for
// the whole lab, until it is told to end or the lab's file is gone.
// Threading: main thread of that process.
#pragma once

#include <string>

#include "base/status.h"
#include "env/env.h"

namespace understudy::cli {

// Returns when the lab in `directory` no longer names this process (checked every kOrphanCheck), so
// that a lab whose directory was simply deleted leaves nothing running for ever.
base::Status RunForwarderProcess(env::Env& env, const std::string& directory);

}  // namespace understudy::cli
