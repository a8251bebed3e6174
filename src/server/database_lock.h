// SPDX-License-Identifier: Apache-2.0
// A database file between two roles: nobody can write it, because we hold its WRITE lock
// (docs/design/0006-who-is-active.md, "Dismounting is a commit").
//
// Threading: functions for the thread that is about to own, or has owned, the database; no other
// Capture or Replayer of ours has it open, except where said.
#pragma once

#include <memory>
#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "server/roll_forward.h"
#include "sqlite/passive_wal.h"

namespace understudy::server {

// A WRITE lock as applications know it, and the means to put the read-only mark on and off.
using DatabaseLock = std::unique_ptr<sqlite::PassiveWal>;

// A copy that its replay has brought to the log's end: what a mount begins with.
struct Handover {
  std::shared_ptr<log::LogStore> log;
  DatabaseLock lock;       // the database still has the read-only mark
  bool at_log_end = true;  // what it has is exactly what the log ends with
};

// Waits for a writer up to `until`: kBusy. A Capture may have the database open.
base::Result<DatabaseLock> LockDatabase(env::Env& env, const std::string& path,
                                        base::SteadyTime until);

// Brings a database that has the read-only mark to its log's end.
// ENSURES: the checkpoint file describes the database at log.end().
base::Result<DatabaseLock> LockMarkedDatabase(env::Env& env, const MountedDatabase& database,
                                              log::LogStore& log, base::SteadyTime until);

}  // namespace understudy::server
