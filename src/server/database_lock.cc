// SPDX-License-Identifier: Apache-2.0
#include "server/database_lock.h"

#include "base/mutex.h"
#include "replay/replayer.h"

namespace understudy::server {
namespace {

constexpr base::Duration kLockRetryInterval = std::chrono::milliseconds(1);

void Pause(base::Duration limit) {
  base::Mutex mutex;
  base::CondVar nobody_signals;
  base::MutexLock lock(mutex);
  nobody_signals.WaitFor(mutex, limit);
}

}  // namespace

base::Result<DatabaseLock> LockDatabase(env::Env& env, const std::string& path,
                                        base::SteadyTime until) {
  while (true) {
    base::Result<DatabaseLock> lock = sqlite::PassiveWal::Open(env, {.path = path});
    if (lock.ok() || lock.status().code() != base::Code::kBusy || env.Now() >= until) return lock;
    Pause(kLockRetryInterval);
  }
}

base::Result<DatabaseLock> LockMarkedDatabase(env::Env& env, const MountedDatabase& database,
                                              log::LogStore& log, base::SteadyTime until) {
  if (log.incomplete()) RETURN_IF_ERROR(log.DropIncomplete());
  const replay::Replayer::Options options{
      .path = database.path, .checkpoint_path = database.paths.checkpoint, .database = database.id};
  while (true) {
    base::Result<std::unique_ptr<replay::Replayer>> opened =
        replay::Replayer::Open(env, options, log);
    if (!opened.ok()) {
      if (opened.status().code() != base::Code::kBusy || env.Now() >= until) return opened.status();
      Pause(kLockRetryInterval);
      continue;
    }
    replay::Replayer& replayer = **opened;
    while (replayer.replayed().position != log.end().position) {
      ASSIGN_OR_RETURN(const auto run, replayer.RunOnce(env.Now()));
      if (!run.worked) return base::Corruption("the log ends in the middle of a record");
    }
    return replayer.HandOver();
  }
}

}  // namespace understudy::server
