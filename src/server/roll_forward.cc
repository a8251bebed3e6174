// SPDX-License-Identifier: Apache-2.0
#include "server/roll_forward.h"

#include <memory>

#include "base/mutex.h"
#include "capture/capture.h"
#include "replay/replayer.h"
#include "server/mount_mark.h"

namespace understudy::server {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr base::Duration kLockRetryInterval = std::chrono::milliseconds(20);

// Whether the database was mounted when the machine stopped, and is still the same file. Fields
// that are missing say nothing against it.
Result<bool> WasMountedInAnotherBoot(env::Env& env, const MountedDatabase& database) {
  ASSIGN_OR_RETURN(const std::optional<MountMark> mark, LoadMountMark(env, database.paths));
  if (!mark) return false;
  if (!mark->boot_id.empty() && mark->boot_id == database.boot_id) return false;
  ASSIGN_OR_RETURN(const env::FileStat about, env.Stat(database.path));
  return mark->inode.empty() || mark->inode == std::to_string(about.inode);
}

// Opening takes the database's WRITE lock, and waits a little for a writer.
Result<std::unique_ptr<replay::Replayer>> OpenReplayer(env::Env& env,
                                                       const MountedDatabase& database,
                                                       log::LogStore& log) {
  const replay::Replayer::Options options{.path = database.path,
                                          .checkpoint_path = database.paths.checkpoint,
                                          .database = database.id,
                                          .verify_all = true,
                                          .set_read_only_mark = false};
  const base::SteadyTime deadline = env.Now() + kRollForwardLockWaitMax;
  for (;;) {
    Result<std::unique_ptr<replay::Replayer>> replayer = replay::Replayer::Open(env, options, log);
    if (replayer.ok() || replayer.status().code() != Code::kBusy || env.Now() >= deadline)
      return replayer;
    base::Mutex mutex;
    base::CondVar nobody_signals;
    base::MutexLock lock(mutex);
    nobody_signals.WaitFor(mutex, kLockRetryInterval);
  }
}

Status ReplayToEnd(env::Env& env, const MountedDatabase& database, log::LogStore& log,
                   uint64_t& records) {
  ASSIGN_OR_RETURN(const auto replayer, OpenReplayer(env, database, log));
  if (replayer->replayed().position == log.end().position) return {};
  while (replayer->replayed().position != log.end().position) {
    ASSIGN_OR_RETURN(const auto run, replayer->RunOnce(env.Now()));
    if (!run.worked) return base::Corruption("the log ends in the middle of a record");
  }
  RETURN_IF_ERROR(replayer->PrepareMount());
  records = replayer->counters().records;
  return {};
}

// Whether a failure tells about the database and its log, or about the machine.
bool IsOfContent(Code code) {
  switch (code) {
    case Code::kDiverged:
    case Code::kCorruption:
    case Code::kLogGap:
    case Code::kFenced:
    case Code::kNotFound:
    case Code::kInvalidArgument:
    case Code::kBusy:  // an application writes already: its content is newer
      return true;
    case Code::kOk:
    case Code::kAlreadyExists:
    case Code::kIoError:
    case Code::kNoSpace:
    case Code::kUnavailable:
    case Code::kTimedOut:
    case Code::kCancelled:
    case Code::kInternal: return false;
  }
  return false;
}

}  // namespace

Result<bool> MayLackCommits(env::Env& env, const MountedDatabase& database,
                            const log::SourcePosition& source) {
  ASSIGN_OR_RETURN(const bool was_mounted, WasMountedInAnotherBoot(env, database));
  if (!was_mounted) return false;
  ASSIGN_OR_RETURN(const bool continues, capture::Capture::WalContinues(database.path, source));
  return !continues;
}

Result<RollForward> RollForwardAtMount(env::Env& env, const MountedDatabase& database,
                                       log::LogStore& log) {
  RollForward result;
  if (log.end().position.seq.value == 0) return result;
  ASSIGN_OR_RETURN(const bool may_lack, MayLackCommits(env, database, log.end().source));
  if (!may_lack) return result;
  if (log.incomplete()) RETURN_IF_ERROR(log.DropIncomplete());
  const Status status = ReplayToEnd(env, database, log, result.records);
  log.ReleaseHold(std::string(replay::kHoldName));  // capture sets its own
  if (status.ok()) return result;
  if (!IsOfContent(status.code())) return status.WithContext("rolling the database forward");
  result.refused = status.message();
  return result;
}

}  // namespace understudy::server
