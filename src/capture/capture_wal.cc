// SPDX-License-Identifier: Apache-2.0
// How capture lets the WAL restart (docs/design/0005-restarts-of-a-busy-wal.md).
//
// A small or quiet WAL is left to its application. In a rush it is checkpointed here, on our
// thread, with other checkpointers held off: under pin S a checkpoint cannot end with a restart, so
// an application would checkpoint, and sync twice, at every commit from its autocheckpoint's limit
// on.
#include <algorithm>

#include "base/thread.h"
#include "capture/capture.h"

namespace understudy::capture {

using base::Result;
using base::Status;

namespace {
// In a rush others' checkpoints are held off from so many frames on; SQLite's autocheckpoint is at
// 1000.
constexpr uint32_t kHoldOffFrames = 900;
// A rush that was seen is over when nothing is committed for so long.
constexpr base::Duration kRushLasts = std::chrono::milliseconds(20);
constexpr base::Duration kHoldOffTryFor = std::chrono::milliseconds(2);
constexpr base::Duration kHoldOffPause = std::chrono::milliseconds(5);
// In a rush commits leave no gap, and a rotation is forced from kHoldOffFrames on, but no more
// often than this: each costs a busy writer the milliseconds that its busy handler waits. Else
// patience pays: most checkpoints end between two commits.
constexpr base::Duration kForcedRotationInterval = std::chrono::milliseconds(150);
constexpr uint32_t kPatientFrames = 4000;
// Checkpoints of ours take at most 1 / (1 + kRestPerCheckpoint) of the time, below wal_frames_max.
constexpr int kRestPerCheckpoint = 30;
constexpr base::Duration kRotationPauseMin = std::chrono::milliseconds(2);
constexpr base::Duration kRotationPauseMax = std::chrono::seconds(1);
// What is left to copy under the write lock: passes go on before it while the rest shrinks.
constexpr uint32_t kRestFramesUnderLock = 128;
// More than this is not copied under it, except that a long WAL is worth a longer wait: where the
// disk is slow the rest does not become small.
constexpr uint32_t kRestFramesUnderLockMax = 2000;
constexpr uint32_t kRestShareUnderLockMax = 4;
constexpr int kPassesBeforeLockMax = 10;
// How long the write lock is asked for in a row: a writer that syncs each commit leaves it free for
// microseconds between two.
constexpr base::Duration kLockTryFor = std::chrono::milliseconds(20);
// How long the write lock is held for somebody else's checkpoint to end.
constexpr base::Duration kLockHeldFor = std::chrono::milliseconds(5);
constexpr base::Duration kIdleCheckpointPauseMax = std::chrono::minutes(5);
// Without activity for so long, everything that can be had again at once is given back.
constexpr base::Duration kGiveBackAfter = std::chrono::seconds(10);
}  // namespace

Result<sqlite::Connection*> Capture::Writer() {
  if (!writer_) {
    ASSIGN_OR_RETURN(writer_, sqlite::Connection::Open(
                                  options_.path, {.busy_timeout = kWriteLockWaitMax, .vfs = ""}));
    sqlite::KeepWalAtClose(*writer_);
    RETURN_IF_ERROR(writer_->QueryInt("SELECT count(*) FROM sqlite_schema").status());
  }
  return writer_.get();
}

Result<sqlite::Connection*> Capture::Checkpointer() {
  if (!checkpointer_) {
    ASSIGN_OR_RETURN(checkpointer_, sqlite::Connection::Open(options_.path, {.vfs = ""}));
    sqlite::KeepWalAtClose(*checkpointer_);
    // Before its first read a connection does not know of the WAL, and checkpoints nothing.
    RETURN_IF_ERROR(checkpointer_->QueryInt("SELECT count(*) FROM sqlite_schema").status());
  }
  return checkpointer_.get();
}

Status Capture::TendWal(base::SteadyTime now) {
  seen_backfilled_ = index_->backfilled();
  if (counters_.log_bytes - checkpoint_at_log_bytes_ >= options_.checkpoint_log_bytes)
    RETURN_IF_ERROR(SaveCheckpoint());
  if (now >= last_activity_ + kGiveBackAfter) GiveBack();
  const bool idle = now - last_activity_ >= options_.idle_checkpoint_after;
  if (keeper_->only_k() && idle) return ShortenWal(now);
  if (!keeper_->only_s() && !keeper_->holding_off()) return Status();
  ASSIGN_OR_RETURN(const bool left, LeaveS(now));
  if (left) return Status();
  // Somebody checkpointed (nearly) all of it, and more was committed before we could leave S.
  const bool missed = seen_backfilled_ > 0 && seen_backfilled_ >= cursor_.frame / 10 * 9;
  const bool rushed = cursor_.frame >= kHoldOffFrames && InRush(now);
  if (missed || rushed || cursor_.frame >= kPatientFrames) RETURN_IF_ERROR(HoldOff(now));
  const bool due = MustForce(now) || (keeper_->holding_off() && !InRush(now));
  if (due && now >= next_rotation_) return Rotate(now);
  return idle ? IdleCheckpoint(now) : Status();
}

// An application that checkpoints at every commit already leaves CKPT_LOCK free for microseconds
// only, so it is tried in a row for a moment; without yielding, which on a crowded machine would
// give the CPU away for milliseconds.
Status Capture::HoldOff(base::SteadyTime now) {
  if (keeper_->holding_off() || now < next_hold_off_) return Status();
  base::SteadyTime tried = now;
  while (tried < now + kHoldOffTryFor) {
    ASSIGN_OR_RETURN(const bool held, keeper_->HoldOff());
    if (held) return Status();
    tried = env_.Now();
  }
  next_hold_off_ = tried + kHoldOffPause;
  return Status();
}

Result<bool> Capture::LeaveS(base::SteadyTime now) {
  ASSIGN_OR_RETURN(const bool left, keeper_->TryLeaveS(cursor_, now));
  if (!left) return false;
  may_restart_ = true;
  rotation_pause_ = {};
  next_rotation_ = {};
  return true;
}

bool Capture::InRush(base::SteadyTime now) const {
  return pacer_.rush() && now < last_activity_ + kRushLasts;
}

// When TendWal has something to do although nothing was committed.
base::SteadyTime Capture::NextTend() const {
  if (!keeper_->holding_off()) return base::SteadyTime::max();
  return pacer_.rush() ? std::max(next_rotation_, last_activity_ + kRushLasts) : next_rotation_;
}

// Whether the WAL is so long that the application has to wait for an instant.
bool Capture::MustForce(base::SteadyTime now) const {
  if (cursor_.frame >= options_.wal_frames_max) return true;
  if (!InRush(now)) return cursor_.frame >= kPatientFrames;
  return cursor_.frame >= kHoldOffFrames && now >= last_forced_ + kForcedRotationInterval;
}

// Checkpoints, and leaves S if the application happened to pause; else, once it must be, the
// application's writers are kept out for an instant.
Status Capture::Rotate(base::SteadyTime now) {
  ASSIGN_OR_RETURN(uint32_t rest, CheckpointOnce());
  ASSIGN_OR_RETURN(bool left, LeaveS(env_.Now()));
  if (left) return Status();
  if (MustForce(now)) {
    for (int pass = 1; pass < kPassesBeforeLockMax && rest > kRestFramesUnderLock; ++pass) {
      const uint32_t before = rest;
      ASSIGN_OR_RETURN(rest, CheckpointOnce());
      // No progress: a reader's mark, unless somebody else is checkpointing.
      if (rest > before / 4 * 3 && keeper_->holding_off()) break;
    }
    if (rest <= std::max(kRestFramesUnderLockMax, cursor_.frame / kRestShareUnderLockMax)) {
      ASSIGN_OR_RETURN(left, RotateUnderWriteLock());
    }
    if (left) return Status();
    ++counters_.rotations_failed;
  }
  // A reader's mark, a writer's long transaction, another checkpoint: don't insist.
  rotation_pause_ = std::clamp(2 * rotation_pause_, kRotationPauseMin, kRotationPauseMax);
  const base::SteadyTime ended = env_.Now();
  next_rotation_ = ended + rotation_pause_;
  if (cursor_.frame < options_.wal_frames_max)
    next_rotation_ = std::max(next_rotation_, ended + kRestPerCheckpoint * (ended - now));
  return Status();
}

// One PASSIVE checkpoint of ours; then everything committed meanwhile is captured. How many frames
// are not in the database file then.
Result<uint32_t> Capture::CheckpointOnce() {
  ASSIGN_OR_RETURN(sqlite::Connection* const checkpointer, Checkpointer());
  keeper_->LetOthersCheckpoint();  // it needs the lock itself
  const Status done = checkpointer->Checkpoint("PASSIVE").status();
  if (!done.ok() && done.code() != base::Code::kBusy) return done;
  RETURN_IF_ERROR(HoldOff(env_.Now()));
  RETURN_IF_ERROR(CaptureAll());
  const uint32_t backfilled = index_->backfilled();
  return cursor_.frame > backfilled ? cursor_.frame - backfilled : 0;
}

// Nobody commits while this holds the write lock, so captured == mxFrame == nBackfill can be had.
Result<bool> Capture::RotateUnderWriteLock() {
  bool locked = false;
  for (const base::SteadyTime end = env_.Now() + kLockTryFor; !locked && env_.Now() < end;) {
    ASSIGN_OR_RETURN(locked, pins_->TryTakeWrite());
  }
  if (!locked) return false;
  const base::SteadyTime began = env_.Now();
  const Result<bool> left = CompleteAndLeaveS();
  pins_->DropWrite();
  counters_.write_lock_held_max = std::max(counters_.write_lock_held_max, env_.Now() - began);
  if (left.ok() && *left) {
    ++counters_.rotations_forced;
    last_forced_ = began;
  }
  return left;
}

// The writer that committed last may be at its autocheckpoint when the write lock is ours, and gets
// CKPT_LOCK when we let go of it for our own checkpoint. Then its checkpoint is as good.
Result<bool> Capture::CompleteAndLeaveS() {
  RETURN_IF_ERROR(CaptureAll());
  for (const base::SteadyTime end = env_.Now() + kLockHeldFor;;) {
    if (!keeper_->IsComplete(cursor_)) RETURN_IF_ERROR(CheckpointOnce().status());
    const base::SteadyTime now = env_.Now();
    ASSIGN_OR_RETURN(const bool left, LeaveS(now));
    if (left || now >= end || keeper_->holding_off()) return left;
    base::Yield();
  }
}

void Capture::GiveBack() {
  if (given_back_) return;
  given_back_ = true;
  writer_.reset();
  checkpointer_.reset();
  scan_->ReleaseMemory();
  encoder_->ReleaseMemory();
  log_.CloseIdleFile();
}

// An application without checkpoints, or with a big autocheckpoint, would leave its WAL as it is.
Status Capture::IdleCheckpoint(base::SteadyTime now) {
  if (cursor_.frame == 0 || index_->backfilled() >= cursor_.frame) {
    checkpointer_.reset();
    return Status();
  }
  if (now < next_idle_checkpoint_) return Status();
  ASSIGN_OR_RETURN(sqlite::Connection* const checkpointer, Checkpointer());
  const Result<sqlite::Connection::CheckpointResult> done = checkpointer->Checkpoint("PASSIVE");
  if (!done.ok() && done.status().code() != base::Code::kBusy) return done.status();
  ++counters_.idle_checkpoints;
  // Incomplete because of a reader: try again later, ever more rarely.
  next_idle_checkpoint_ =
      now + std::clamp<base::Duration>((now - last_activity_) / 2, options_.idle_checkpoint_after,
                                       kIdleCheckpointPauseMax);
  return LeaveS(now).status();
}

// SQLite overwrites a WAL but does not shorten it, and our connection keeps it from being removed
// with the application's last one. After a VACUUM it would stay as large as the database for ever.
Status Capture::ShortenWal(base::SteadyTime now) {
  if (wal_file_frames_ <= options_.wal_frames_max || now < next_shorten_) return Status();
  next_shorten_ = now + kIdleCheckpointPauseMax;
  ASSIGN_OR_RETURN(sqlite::Connection* const checkpointer, Checkpointer());
  ASSIGN_OR_RETURN(const bool traded, keeper_->TradeKForZ(cursor_));
  if (!traded) return Status();
  // With Z held it cannot copy anything: it ends as busy if somebody commits, or reads from the
  // WAL.
  const Result<sqlite::Connection::CheckpointResult> done = checkpointer->Checkpoint("TRUNCATE");
  RETURN_IF_ERROR(keeper_->TradeZForK());
  checkpointer_.reset();
  if (!done.ok() && done.status().code() != base::Code::kBusy) return done.status();
  ASSIGN_OR_RETURN(const uint64_t bytes, wal_->Size());
  wal_file_frames_ = sqlite::WalFramesIn(bytes, page_size_);
  return Status();
}

}  // namespace understudy::capture
