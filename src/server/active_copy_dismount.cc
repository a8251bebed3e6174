// SPDX-License-Identifier: Apache-2.0
// How the active copy is dismounted: with the lease, by a person, at a stop, and by a switchover.
#include <fmt/format.h>

#include "base/planted.h"
#include "server/active_copy.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

// How long a dismount tries for the write lock before it says so and tries on.
constexpr base::Duration kLockTryFor = std::chrono::milliseconds(200);

}  // namespace

// Everything committed goes into the log, then the mark. Without a capture only the mark is set:
// the mount mark stays, so that the rest is taken at the next mount.
base::Status ActiveCopy::Fence(sqlite::PassiveWal& lock) {
  base::Status captured = base::Unavailable("capture was closed before");
  if (PLANTED("end-told-too-early"))
    captured = {};
  else if (capture_ != nullptr)
    captured = capture_->Close();
  CloseCapture();
  if (!PLANTED("fence-not-set")) RETURN_IF_ERROR(lock.SetReadOnlyMark(true));
  RETURN_IF_ERROR(lock.SyncWal());
  SetUnfenced(false);
  if (!captured.ok()) return captured;
  SetFinal();
  // From now on a database that is behind its log is one that somebody put there.
  return ClearMountMark(context_.env, options_.paths);
}

// An application that is in the middle of a transaction is waited for, as long as it takes; from
// the end of the authority on nothing is acknowledged meanwhile.
base::Result<DatabaseLock> ActiveCopy::LockForDismount() {
  bool told = false;
  while (true) {
    base::Result<DatabaseLock> lock =
        LockDatabase(context_.env, options_.path, context_.env.Now() + kLockTryFor);
    if (lock.ok() || lock.status().code() != base::Code::kBusy) return lock;
    if (stopping()) return base::Cancelled("stopped");
    tasks_.RunAll(nullptr);
    moves_.RunAll(nullptr);
    if (context_.authority.Valid() || told) continue;
    told = true;
    CloseCapture();
    CloseMount();
    context_.events.Add(
        EventNumber::kDismountDelayed, Severity::kError, options_.name,
        fmt::format("{} cannot be fenced: an application is in a write transaction since before "
                    "the lease of {} ended; nothing of it is acknowledged, what it commits is kept "
                    "here and reported\nend that transaction",
                    options_.name, context_.server));
  }
}

void ActiveCopy::Dismount() {
  const std::string why = WhyNotMounted();
  const std::string reason = DismountReason();
  if (reason == "administrator" && capture_ != nullptr) {
    TellPreDismount(reason).IgnoreError();  // told in an event; it cannot prevent this
  }
  SetState(State::kDismounting);
  base::Status status;
  {
    base::Result<DatabaseLock> lock = LockForDismount();
    if (lock.status().code() == base::Code::kCancelled) return;
    status = lock.ok() ? Fence(**lock) : lock.status();
    SetUnfenced(false);  // fenced, or there is no database that could be written
  }
  CloseCapture();
  SetState(State::kDismounted);
  context_.events.Add(
      EventNumber::kDatabaseDismounted, status.ok() ? Severity::kWarning : Severity::kError,
      options_.name,
      fmt::format("dismounted {}: {}{}", options_.name, why,
                  status.ok() ? std::string() : fmt::format(" ({})", status.ToString())));
  hooks_.Start(HookKind::kPostDismount, Facts(reason));
}

void ActiveCopy::FinalDismount(StopMode mode) {
  if (capture_ == nullptr) return;
  if (mode != StopMode::kMoved) TellPreDismount("stop").IgnoreError();  // as above
  SetState(State::kDismounting);
  base::Status status;
  if (mode != StopMode::kLeave) {
    base::Result<DatabaseLock> lock =
        LockDatabase(context_.env, options_.path, context_.env.Now() + kStopLockWaitMax);
    status = lock.ok() ? Fence(**lock)
                       : lock.status().WithContext("it stays writable without being followed");
  } else {
    status = capture_->Close();
    if (status.ok()) status = ClearMountMark(context_.env, options_.paths);
  }
  if (capture_ != nullptr) capture_->Close().IgnoreError();  // told above
  CloseCapture();
  context_.events.Add(EventNumber::kDatabaseDismounted,
                      status.ok() ? Severity::kInfo : Severity::kWarning, options_.name,
                      status.ok()
                          ? fmt::format("dismounted {}", options_.name)
                          : fmt::format("dismounted {}: {}", options_.name, status.ToString()));
}

// --- switchover ---

base::Result<ActiveCopy::Switched> ActiveCopy::SwitchTo(const Switchover& how) {
  struct Answer {
    base::Mutex mutex;
    base::CondVar changed;
    std::optional<base::Result<Switched>> result GUARDED_BY(mutex);
  };
  const auto answer = std::make_shared<Answer>();
  const bool posted = moves_.Post([answer, how](ActiveCopy* copy) {
    base::Result<Switched> result = base::Unavailable("the copy is not mounted now");
    if (copy != nullptr) result = copy->SwitchHere(how);
    base::MutexLock lock(answer->mutex);
    answer->result = std::move(result);
    answer->changed.NotifyAll();
  });
  if (!posted) return base::Unavailable(options_.name + " is being dismounted");
  // Always answered: every step has a limit, and a queue that closes answers what waits in it.
  base::MutexLock lock(answer->mutex);
  while (!answer->result) answer->changed.WaitFor(answer->mutex, how.limit);
  return std::move(*answer->result);
}

base::Status ActiveCopy::AwaitTarget(const std::string& target, base::Seq seq,
                                     base::SteadyTime until) {
  base::MutexLock lock(mutex_);
  while (true) {
    const PeerProgress& progress = progress_[target];
    if (progress.replayed.seq >= seq) return {};
    const base::Duration left = until - context_.env.Now();
    if (left <= base::Duration(0)) {
      return base::TimedOut(
          fmt::format("{} did not replay everything in time: it is at {}, {} ends at {}{}", target,
                      progress.replayed.seq.value, options_.name, seq.value,
                      progress.connected ? "" : ", and it is not connected"));
    }
    changed_.WaitFor(mutex_, left);
  }
}

base::Status ActiveCopy::MoveInRegistry(const Switchover& how) {
  const auto edit = [&](cluster::DatabaseRecord& record) -> base::Status {
    if (record.id != options_.id || record.active != context_.server) {
      return base::Fenced(fmt::format("{} is not the active server of {} any more", context_.server,
                                      options_.name));
    }
    if (record.FindCopy(how.target) == nullptr) {
      return base::NotFound(
          fmt::format("{} has no copy on {} any more", options_.name, how.target));
    }
    record.active = how.target;
    record.move_reason = how.reason;
    return {};
  };
  return context_.registry.UpdateDatabase(options_.name, edit).status();
}

base::Result<ActiveCopy::Switched> ActiveCopy::SwitchHere(const Switchover& how) {
  const auto attempt = [&]() -> base::Result<Switched> {
    RETURN_IF_ERROR(TellPreDismount("switchover"));
    if (!MayBeMounted(context_.authority.margin())) return base::Unavailable(WhyNotMounted());
    return FenceFor(how, context_.env.Now() + how.limit);
  };
  base::Result<Switched> switched = attempt();
  if (capture_ == nullptr) {
    hooks_.Start(HookKind::kPostDismount, Facts("switchover"));
  } else if (given_up_.ok() && MayBeMounted(context_.authority.margin())) {
    TellMounted("mount");  // after all: pre_dismount may have ended what post_mount began
  }
  return switched;
}

// Whether the database has the mark is not known: the mount ends, and the next one looks.
base::Status ActiveCopy::GiveUpMount(const base::Status& why) {
  given_up_ = why;
  return why;
}

base::Result<ActiveCopy::Switched> ActiveCopy::FenceFor(const Switchover& how,
                                                        base::SteadyTime until) {
  ASSIGN_OR_RETURN(DatabaseLock lock, LockDatabase(context_.env, options_.path, until));
  const base::SteadyTime since = context_.env.Now();
  RETURN_IF_ERROR(capture_->CatchUp());
  const base::Position at = capture_->captured().position;
  NotifyListeners();
  if (!PLANTED("target-not-awaited")) RETURN_IF_ERROR(AwaitTarget(how.target, at.seq, until));
  SetState(State::kDismounting);
  if (const base::Status marked = lock->SetReadOnlyMark(true); !marked.ok()) {
    return PLANTED("failed-mark-forgotten") ? marked : GiveUpMount(marked);
  }
  // Durable before the other copy may be mounted: after a power cut this one must not be writable.
  base::Status moved = PLANTED("moved-before-mark") ? base::Status() : lock->SyncWal();
  if (moved.ok()) moved = MoveInRegistry(how);
  const bool unknown = moved.code() == base::Code::kUnavailable;
  if (!moved.ok() && !unknown) {
    if (const base::Status undone = lock->SetReadOnlyMark(false); !undone.ok()) {
      return GiveUpMount(undone.WithContext(moved.ToString()));
    }
    SetState(State::kMounted);
    return moved;
  }
  if (moved.ok()) {
    base::MutexLock guard(mutex_);
    moved_ = true;
  }
  SetFinal();
  // The other server goes on from here; what follows is for when this copy is opened again.
  base::Status fenced = capture_->SaveCheckpoint();
  CloseCapture();
  if (fenced.ok()) fenced = ClearMountMark(context_.env, options_.paths);
  lock.reset();
  SetUnfenced(false);
  SetState(State::kDismounted);
  context_.events.Add(
      EventNumber::kDatabaseDismounted, fenced.ok() ? Severity::kInfo : Severity::kWarning,
      options_.name,
      fmt::format("dismounted {} at {} for {} on {}{}", options_.name, base::ToString(at),
                  how.reason, how.target, fenced.ok() ? "" : ": " + fenced.ToString()));
  RETURN_IF_ERROR(moved);
  return Switched{at, since};
}

}  // namespace understudy::server
