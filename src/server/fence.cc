// SPDX-License-Identifier: Apache-2.0
#include "server/fence.h"

#include <fmt/format.h>

#include <cstdio>

#include "server/config.h"
#include "server/copy_directory.h"
#include "server/database_lock.h"
#include "server/mount_mark.h"

namespace understudy::server {
namespace {

// As long as a transaction of an ordinary application may take.
constexpr base::Duration kCommandLockWait = std::chrono::seconds(3);

base::Status Fence(env::Env& env, const std::string& path, base::Duration lock_wait,
                   bool& was_open) {
  ASSIGN_OR_RETURN(const DatabaseLock lock, LockDatabase(env, path, env.Now() + lock_wait));
  was_open = !lock->read_only_mark();
  if (!was_open) return {};
  RETURN_IF_ERROR(lock->SetReadOnlyMark(true));
  return lock->SyncWal();
}

}  // namespace

std::vector<Fenced> FenceLeftMounted(env::Env& env, const std::string& data_dir,
                                     base::Duration lock_wait) {
  std::vector<Fenced> all;
  const base::Result<std::vector<std::string>> names = env.List(data_dir);
  if (!names.ok()) return all;
  for (const std::string& name : *names) {
    if (name.empty() || name[0] == '.') continue;
    const auto mark = LoadMountMark(env, PathsOf(data_dir, name));
    if (!mark.ok() || !*mark || !(*mark)->has_peers || (*mark)->path.empty()) continue;
    bool was_open = true;
    const base::Status status = Fence(env, (*mark)->path, lock_wait, was_open);
    if (was_open) all.push_back({name, (*mark)->path, status});
  }
  return all;
}

base::Status RunFence(env::Env& env, const std::string& config_path) {
  ASSIGN_OR_RETURN(const Config config, ReadConfig(env, config_path));
  const base::Result<DataDirectory> directory = OpenDataDirectory(env, config.server.data_dir);
  if (directory.status().code() == base::Code::kBusy) {
    std::printf("a daemon is running with %s: nothing to fence\n", config.server.data_dir.c_str());
    return {};
  }
  RETURN_IF_ERROR(directory.status());
  base::Status first;
  for (const Fenced& fenced : FenceLeftMounted(env, directory->path, kCommandLockWait)) {
    std::printf("%s: %s: %s\n", fenced.database.c_str(), fenced.path.c_str(),
                fenced.status.ok() ? "fenced" : fenced.status.message().c_str());
    if (first.ok() && !fenced.status.ok()) first = fenced.status.WithContext(fenced.database);
  }
  return first;
}

}  // namespace understudy::server
