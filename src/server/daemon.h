// SPDX-License-Identifier: Apache-2.0
// Daemon: builds everything in order, runs until SIGTERM or SIGINT, and takes it down in the
// reverse order.
//
//   data directory (lock) -> managed etcd member -> coordinator -> registry -> copies -> RPC server
//   -> announcement and cluster thread -> READY
// SIGHUP reads the configuration again (which keys take effect: docs/reference/config.md). Threads:
// docs/design/0003-daemon-threads.md. The main thread only waits for signals.
// Threading: confined to the main thread. REQUIRES: no thread was started before Run (signals are
// blocked first).
#pragma once

#include <memory>
#include <string>

#include "env/env.h"
#include "server/config.h"

namespace understudy::server {

// Runs the daemon with the configuration at `path`; returns after a clean stop, or why it could not
// start.
base::Status RunDaemon(env::Env& env, const std::string& config_path);

}  // namespace understudy::server
