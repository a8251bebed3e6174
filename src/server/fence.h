// SPDX-License-Identifier: Apache-2.0
// The fence that a dead daemon leaves behind: databases that were left mounted, and have other
// copies, get the read-only mark, so that no application writes them while another server may have
// its copy mounted (docs/design/0006-who-is-active.md).
//
// Run by `understudyd --fence` (the systemd unit's ExecStopPost, and the supervisor after a crash),
// and by a daemon that starts and does not reach the coordinator soon. What was committed and is in
// no log stays in the database, and the mount mark stays too: the daemon takes it in later.
// Threading: pure functions; nobody of this process has the databases open.
#pragma once

#include <string>
#include <vector>

#include "env/env.h"

namespace understudy::server {

struct Fenced {
  std::string database;
  std::string path;
  base::Status status;  // kBusy: an application was in a transaction all the time
};

// REQUIRES: the data directory's lock is held. Databases that are fenced already are left out.
std::vector<Fenced> FenceLeftMounted(env::Env& env, const std::string& data_dir,
                                     base::Duration lock_wait);

// As a command: takes the lock first. Fine, and nothing done, while a daemon holds it.
base::Status RunFence(env::Env& env, const std::string& config_path);

}  // namespace understudy::server
