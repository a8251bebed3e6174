// SPDX-License-Identifier: Apache-2.0
// The mount mark, <database>/.mount.json: this server has the database mounted, or had when its
// daemon or machine stopped. A dismount that fenced the database, with everything in the log,
// removes it.
//
// It says where the database is, in which boot of the machine it was mounted, which file it was,
// and whether there are other copies (then nobody may write it without a daemon: fence.h).
// Threading: pure functions.
#pragma once

#include <optional>
#include <string>

#include "env/env.h"
#include "server/copy_directory.h"

namespace understudy::server {

struct MountMark {
  std::string path;
  std::string boot_id;  // empty: unknown
  std::string inode;
  bool has_peers = false;
};

// Made once capture follows the database, before applications can write it.
base::Status SaveMountMark(env::Env& env, const CopyPaths& paths, const MountMark& mark);
// Fine if there is none.
base::Status ClearMountMark(env::Env& env, const CopyPaths& paths);
// What cannot be read counts as a mark without fields.
base::Result<std::optional<MountMark>> LoadMountMark(env::Env& env, const CopyPaths& paths);
// Whether database `id` has one: applications may have written it since, and nobody followed.
base::Result<bool> WasLeftMounted(env::Env& env, const CopyPaths& paths, base::DatabaseId id);

}  // namespace understudy::server
