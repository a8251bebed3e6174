// SPDX-License-Identifier: Apache-2.0
// Where things are below the data directory, and who they belong to.
//
//   .lock                     held by the running daemon
//   .server.json              {"identity"}: random, made once
//   <database>/.copy.json     {"id"}: of the database these files belong to
//   <database>/.mount.json    while the active copy is mounted here (roll_forward.h)
//   <database>/.reseed        while log and database are replaced (reseed_mark.h)
//   <database>/.lag           when log came to a lagged copy (lag_marks.h)
//   <database>/.activate.db   a database being extracted from one (admin_lag.cc)
//   <database>/lost/          what the group went on without (docs/formats/lost-log.md)
//   <database>/log/           generations (docs/formats/log.md)
//   <database>/checkpoint     (docs/formats/checkpoint.md)
//   <database>/<file name>    a passive copy, unless the registry says another path
//   .etcd/                    the managed etcd member, if any (managed_etcd.h)
//   .removed-<database>-<id>  files of a database that was removed while this daemon was down
// Database and server names never begin with a dot (base::CheckName).
// Threading: pure functions over Env. Errors: those of Env; kBusy when another daemon holds the
// lock.
#pragma once

#include <memory>
#include <string>

#include "base/ids.h"
#include "env/env.h"

namespace understudy::server {

struct DataDirectory {
  std::string path;
  std::string identity;
  std::unique_ptr<env::FileLock> lock;
};
// Makes, locks and identifies it.
base::Result<DataDirectory> OpenDataDirectory(env::Env& env, const std::string& path);

inline constexpr const char* kCopyIdentity = ".copy.json";  // the command looks for it, too
inline constexpr const char* kLagFile = ".lag";
inline constexpr const char* kActivateFile = ".activate.db";

// Of the data directory: Repository::SetHostLocks.
inline constexpr const char* kHostLocks = ".repository-locks";

struct CopyPaths {
  std::string directory;
  std::string log;
  std::string checkpoint;
};
CopyPaths PathsOf(const std::string& data_dir, const std::string& database);

// Makes the directory for database `id`. Files of another id in its place are moved to .removed-….
base::Status ClaimCopyDirectory(env::Env& env, const std::string& data_dir,
                                const std::string& database, base::DatabaseId id);

// Whether the directory is there and belongs to database `id`.
base::Result<bool> IsDirectoryOf(env::Env& env, const CopyPaths& paths, base::DatabaseId id);

// Removes the log, the checkpoint and what we note beside them, and the directory if nothing else
// is in it: lost log stays.
base::Status RemoveCopyFiles(env::Env& env, const CopyPaths& paths);
// Removes the log's files and what is noted of them (for a new seed).
base::Status RemoveLog(env::Env& env, const CopyPaths& paths);
// Removes a passive database and what lies beside it. REQUIRES: nobody of ours has it open.
base::Status RemoveDatabaseFiles(env::Env& env, const std::string& path);

}  // namespace understudy::server
