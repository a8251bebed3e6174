// SPDX-License-Identifier: Apache-2.0
// Before a mount: when a power cut left the database behind its own log, it is brought to the log's
// end by replaying the log into it (docs/design/0004-roll-forward-at-mount.md), so that nothing
// that was acknowledged and shipped is undone.
//
// Only where the mount mark (mount_mark.h) tells of another boot and the same file, and the WAL
// does not continue at the log's end, pages are looked at. A database that has anything that is not
// of its log is never touched.
//
// Threading: pure functions; no Capture or Replayer may have the database open meanwhile.
#pragma once

#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "server/copy_directory.h"

namespace understudy::server {

// How long a writer that is in the middle of a transaction is waited for.
inline constexpr base::Duration kRollForwardLockWaitMax = std::chrono::milliseconds(500);

struct MountedDatabase {
  std::string path;  // of the active database
  base::DatabaseId id;
  CopyPaths paths;
  std::string boot_id;  // of now; empty: unknown
};

struct RollForward {
  uint64_t records = 0;  // replayed; then the database is what the log ends with
  // Otherwise, if not empty: the database neither continues its log nor could be replayed, and why.
  // It stays as it is; capture logs what differs.
  std::string refused;
};
// Errors: kIoError, kNoSpace and the like: going on would undo what may still be saved, so mount
// again later.
base::Result<RollForward> RollForwardAtMount(env::Env& env, const MountedDatabase& database,
                                             log::LogStore& log);

// Whether a power cut may have undone commits of the database up to `source`: it was mounted in
// another boot, and its WAL does not go on there.
base::Result<bool> MayLackCommits(env::Env& env, const MountedDatabase& database,
                                  const log::SourcePosition& source);

}  // namespace understudy::server
