// SPDX-License-Identifier: Apache-2.0
// Writer: what one copy tells of its backups, in the words of VSS (docs/writers.md).
//
// Microsoft never published which events move a writer from which state to which; here they are a
// table (WriterTransitions), and what it does not allow is refused. Three things are kept apart
// that VSS mixes: the state now, the session that runs, and the result of the last one, with the
// whole chain of causes. A failed session leaves the writer Stable once it is shut down: whoever
// looks then sees its failure in the last result.
//
// Threading: Writer is thread-safe; the rest are values and pure functions.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backup/writer_state.h"
#include "base/mutex.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::backup {

enum class WriterEvent : uint8_t {
  kPrepareForBackup,
  kPrepareForSnapshot,
  kFreeze,
  kThaw,
  kPostSnapshot,
  kBackupComplete,
  kAbort,
  kBackupShutdown,
};
std::string_view WriterEventName(WriterEvent event);  // "PrepareForBackup", …
std::optional<WriterEvent> WriterEventFromName(std::string_view name);
// What a session is doing while the writer handles the event.
Phase PhaseOf(WriterEvent event);

struct WriterTransition {
  WriterState from;
  WriterEvent event;
  WriterState done;    // the event was handled
  WriterState failed;  // it was vetoed, or took too long
};
std::span<const WriterTransition> WriterTransitions();
// Nothing: the event is not allowed in that state.
std::optional<WriterState> NextWriterState(WriterState from, WriterEvent event, bool done);

// Why a session failed, for somebody who has to do something about it.
struct WriterFailure {
  Phase phase = Phase::kIdentify;
  WriterState state = WriterState::kUnknown;  // FAILED_AT_…
  WriterCode code = WriterCode::kOk;
  std::string message;              // one sentence
  std::vector<std::string> causes;  // from the nearest to the first
  std::string peer;                 // the server that was asked, if any
  std::string operation;            // what was asked of it
  base::Duration elapsed{};
  base::Duration limit{};  // zero: none was reached
  std::string setting;     // that the limit comes from
};

// One event of a session, as it went.
struct WriterStep {
  WriterEvent event = WriterEvent::kPrepareForBackup;
  base::WallTime began;
  base::Duration took{};
  WriterState state = WriterState::kUnknown;  // after it
  WriterCode code = WriterCode::kOk;
};

struct WriterSession {
  std::string id;
  std::string requester;  // who asked: "backup run", "betest", …
  BackupType type = BackupType::kFull;
  base::WallTime began;
  std::vector<WriterStep> steps;
  std::optional<WriterFailure> failure;
  bool ended = false;
  base::WallTime ended_at;
};

class Writer {
 public:
  // A session's steps and causes are few; what a caller adds beyond is left out.
  static constexpr size_t kStepsMax = 32;

  explicit Writer(env::Env& env) : env_(env) {}

  // kBusy names the session that is open.
  base::Status Begin(WriterSession session) EXCLUDES_LOCK(mutex_);
  // The event begins; kInternal when it is not allowed now.
  base::Status Enter(WriterEvent event) EXCLUDES_LOCK(mutex_);
  // The event that was entered has been handled, or failed.
  void Leave() EXCLUDES_LOCK(mutex_);
  void Fail(WriterFailure failure) EXCLUDES_LOCK(mutex_);
  // Ends the session whatever its state: BackupShutdown.
  void Shutdown() EXCLUDES_LOCK(mutex_);

  struct View {
    WriterState state = WriterState::kStable;
    WriterCode last_error = WriterCode::kOk;  // of the session that runs, else of the last one
    std::optional<Phase> phase;               // being handled now
    std::optional<WriterSession> session;     // that runs
    std::optional<WriterSession> last;        // that ended
  };
  View view() const EXCLUDES_LOCK(mutex_);

 private:
  void EndStep(bool done, WriterCode code) REQUIRES_LOCK(mutex_);

  env::Env& env_;
  mutable base::Mutex mutex_;
  WriterState state_ GUARDED_BY(mutex_) = WriterState::kStable;
  std::optional<WriterEvent> event_ GUARDED_BY(mutex_);  // being handled
  base::SteadyTime entered_ GUARDED_BY(mutex_){};
  std::optional<WriterSession> session_ GUARDED_BY(mutex_);
  std::optional<WriterSession> last_ GUARDED_BY(mutex_);
};

// "STABLE(0x800423f3 - VSS_E_WRITERERROR_RETRYABLE)", as BETest prints it.
std::string StatusText(WriterState state, WriterCode code);
// "Stable", "Waiting for freeze", "Frozen", "Waiting for completion", "Failed", "Unknown".
std::string_view VssAdminState(WriterState state);
// "No error", "Retryable error", "Timed out", …
std::string_view VssAdminError(WriterCode code);

}  // namespace understudy::backup
