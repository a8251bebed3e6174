// SPDX-License-Identifier: Apache-2.0
#include "backup/writer.h"

#include <fmt/format.h>

#include <algorithm>

namespace understudy::backup {
namespace {

using S = WriterState;
using E = WriterEvent;

// An Abort undoes what was done and leaves the failed state to be seen; the session's end makes the
// writer Stable whatever happened. BackupComplete is the requester's word that it has copied all.
constexpr std::array kTransitions = {
    WriterTransition{S::kStable, E::kPrepareForBackup, S::kStable, S::kFailedAtPrepareBackup},
    WriterTransition{S::kStable, E::kPrepareForSnapshot, S::kWaitingForFreeze,
                     S::kFailedAtPrepareSnapshot},
    WriterTransition{S::kWaitingForFreeze, E::kFreeze, S::kWaitingForThaw, S::kFailedAtFreeze},
    WriterTransition{S::kWaitingForThaw, E::kThaw, S::kWaitingForPostSnapshot, S::kFailedAtThaw},
    WriterTransition{S::kWaitingForPostSnapshot, E::kPostSnapshot, S::kWaitingForBackupComplete,
                     S::kFailedAtPostSnapshot},
    WriterTransition{S::kWaitingForBackupComplete, E::kBackupComplete, S::kStable,
                     S::kFailedAtBackupComplete},
    WriterTransition{S::kStable, E::kAbort, S::kStable, S::kStable},
    WriterTransition{S::kWaitingForFreeze, E::kAbort, S::kStable, S::kFailedAtPrepareSnapshot},
    WriterTransition{S::kWaitingForThaw, E::kAbort, S::kStable, S::kFailedAtFreeze},
    WriterTransition{S::kWaitingForPostSnapshot, E::kAbort, S::kStable, S::kFailedAtThaw},
    WriterTransition{S::kWaitingForBackupComplete, E::kAbort, S::kStable,
                     S::kFailedAtBackupComplete},
    WriterTransition{S::kFailedAtPrepareBackup, E::kAbort, S::kFailedAtPrepareBackup,
                     S::kFailedAtPrepareBackup},
    WriterTransition{S::kFailedAtPrepareSnapshot, E::kAbort, S::kFailedAtPrepareSnapshot,
                     S::kFailedAtPrepareSnapshot},
    WriterTransition{S::kFailedAtFreeze, E::kAbort, S::kFailedAtFreeze, S::kFailedAtFreeze},
    WriterTransition{S::kFailedAtThaw, E::kAbort, S::kFailedAtThaw, S::kFailedAtThaw},
    WriterTransition{S::kFailedAtPostSnapshot, E::kAbort, S::kFailedAtPostSnapshot,
                     S::kFailedAtPostSnapshot},
    WriterTransition{S::kFailedAtBackupComplete, E::kAbort, S::kFailedAtBackupComplete,
                     S::kFailedAtBackupComplete},
};

constexpr std::array<std::string_view, 8> kEventNames = {
    "PrepareForBackup", "PrepareForSnapshot", "Freeze", "Thaw",
    "PostSnapshot",     "BackupComplete",     "Abort",  "BackupShutdown"};

}  // namespace

std::string_view WriterEventName(WriterEvent event) {
  return kEventNames[static_cast<size_t>(event)];
}

std::optional<WriterEvent> WriterEventFromName(std::string_view name) {
  const auto found = std::find(kEventNames.begin(), kEventNames.end(), name);
  if (found == kEventNames.end()) return std::nullopt;
  return static_cast<WriterEvent>(found - kEventNames.begin());
}

Phase PhaseOf(WriterEvent event) {
  switch (event) {
    case E::kPrepareForBackup: return Phase::kPrepareForBackup;
    case E::kPrepareForSnapshot: return Phase::kPrepareForSnapshot;
    case E::kFreeze: return Phase::kFreeze;
    case E::kThaw: return Phase::kThaw;
    case E::kPostSnapshot: return Phase::kPostSnapshot;
    case E::kBackupComplete: return Phase::kBackupComplete;
    case E::kAbort:
    case E::kBackupShutdown: return Phase::kBackupShutdown;
  }
  return Phase::kIdentify;
}

std::span<const WriterTransition> WriterTransitions() { return kTransitions; }

std::optional<WriterState> NextWriterState(WriterState from, WriterEvent event, bool done) {
  if (event == E::kBackupShutdown) return done ? S::kStable : S::kFailedAtBackupShutdown;
  const auto found =
      std::find_if(kTransitions.begin(), kTransitions.end(),
                   [&](const WriterTransition& t) { return t.from == from && t.event == event; });
  if (found == kTransitions.end()) return std::nullopt;
  return done ? found->done : found->failed;
}

base::Status Writer::Begin(WriterSession session) {
  base::MutexLock lock(mutex_);
  if (session_) {
    return base::Busy(fmt::format("session {} of {} is open since {}", session_->id,
                                  session_->requester, base::ToRfc3339(session_->began)));
  }
  session.began = env_.WallNow();
  session_ = std::move(session);
  state_ = S::kStable;
  event_.reset();
  return {};
}

base::Status Writer::Enter(WriterEvent event) {
  base::MutexLock lock(mutex_);
  if (!session_ || event_ || !NextWriterState(state_, event, true)) {
    return base::Internal(fmt::format("{} is not allowed while the writer is {}{}",
                                      WriterEventName(event), WriterStateName(state_),
                                      session_ ? "" : " and no session is open"));
  }
  event_ = event;
  entered_ = env_.Now();
  if (session_->steps.size() < kStepsMax) {
    session_->steps.push_back({.event = event, .began = env_.WallNow()});
  }
  return {};
}

void Writer::EndStep(bool done, WriterCode code) {
  if (!session_ || !event_) return;
  state_ = NextWriterState(state_, *event_, done).value_or(state_);
  WriterStep& step = session_->steps.back();
  step.took = env_.Now() - entered_;
  step.state = state_;
  step.code = code;
  event_.reset();
}

void Writer::Leave() {
  base::MutexLock lock(mutex_);
  const bool failed = session_ && session_->failure;  // an Abort's step still tells of it
  EndStep(true, failed ? session_->failure->code : WriterCode::kOk);
}

void Writer::Fail(WriterFailure failure) {
  base::MutexLock lock(mutex_);
  if (!session_) return;
  if (event_) {
    EndStep(false, failure.code);
  } else if (const WriterState failed = FailedStateOf(failure.phase);
             failed != WriterState::kUnknown) {
    state_ = failed;  // between two events: while the requester copies
  }
  failure.state = state_;
  if (!session_->failure) session_->failure = std::move(failure);
}

void Writer::Shutdown() {
  base::MutexLock lock(mutex_);
  if (!session_) return;
  event_.reset();
  state_ = S::kStable;
  session_->ended = true;
  session_->ended_at = env_.WallNow();
  last_ = std::exchange(session_, std::nullopt);
}

Writer::View Writer::view() const {
  base::MutexLock lock(mutex_);
  View view;
  view.state = state_;
  view.session = session_;
  view.last = last_;
  if (event_) view.phase = PhaseOf(*event_);
  const std::optional<WriterSession>& told = session_ ? session_ : last_;
  if (told && told->failure) view.last_error = told->failure->code;
  return view;
}

std::string StatusText(WriterState state, WriterCode code) {
  if (code == WriterCode::kOk) {
    return fmt::format("{}({})", WriterStateName(state), WriterCodeHex(code));
  }
  return fmt::format("{}({} - {})", WriterStateName(state), WriterCodeHex(code),
                     WriterCodeName(code));
}

std::string_view VssAdminState(WriterState state) {
  switch (state) {
    case S::kUnknown: return "Unknown";
    case S::kStable: return "Stable";
    case S::kWaitingForFreeze: return "Waiting for freeze";
    case S::kWaitingForThaw: return "Frozen";
    case S::kWaitingForPostSnapshot:
    case S::kWaitingForBackupComplete: return "Waiting for completion";
    default: return "Failed";
  }
}

std::string_view VssAdminError(WriterCode code) {
  switch (code) {
    case WriterCode::kOk: return "No error";
    case WriterCode::kInconsistentSnapshot: return "Inconsistent shadow copy";
    case WriterCode::kOutOfResources: return "Out of resources";
    case WriterCode::kTimeout: return "Timed out";
    case WriterCode::kRetryable: return "Retryable error";
    case WriterCode::kNonRetryable: return "Non-retryable error";
    case WriterCode::kRecoveryFailed: return "Recovery failed";
    case WriterCode::kPartialFailure: return "Partial failure";
    case WriterCode::kNotResponding: return "Not responding";
  }
  return "Unknown";
}

}  // namespace understudy::backup
