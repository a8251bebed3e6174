// SPDX-License-Identifier: Apache-2.0
#include "server/backup_session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/first_line.h"
#include "rpc/protocol.h"
#include "server/copy_directory.h"
#include "server/exposed_snapshot.h"
#include "server/log_rules.h"

namespace understudy::server {
namespace {

using backup::Phase;
using backup::WriterCode;
using backup::WriterEvent;
using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kTurnRetry = std::chrono::milliseconds(250);
// Between two questions for the log range: doubled each time, up to the second one.
constexpr base::Duration kRangeRetryFirst = std::chrono::milliseconds(200);
constexpr base::Duration kRangeRetryMax = std::chrono::seconds(5);
// How long a copy that is about to be readable is waited for.
constexpr base::Duration kCopyPatience = std::chrono::seconds(30);
constexpr std::string_view kPassingStates[] = {"Initializing", "Mounting", "Dismounting",
                                               "Dismounted"};
constexpr std::string_view kReadableStates[] = {
    "Healthy",   "DisconnectedAndHealthy", "Resynchronizing", "DisconnectedAndResynchronizing",
    "Suspended", "SeedingSource",          "Mounted"};

template <size_t kCount>
bool IsOneOf(const std::string_view (&known)[kCount], const std::string& state) {
  return std::find(std::begin(known), std::end(known), state) != std::end(known);
}

cluster::BackupLease LeaseOf(const ServerContext& context, const BackupSession::Options& options) {
  cluster::BackupLease lease;
  lease.id = options.id;
  lease.database = options.database;
  lease.server = context.server;
  lease.requester = options.requester;
  lease.type = std::string(backup::BackupTypeName(options.type));
  lease.began = lease.renewed = context.env.WallNow();
  return lease;
}

}  // namespace

BackupSession::BackupSession(const ServerContext& context, CopyHost& host, const GroupCache& cache,
                             Options options)
    : context_(context),
      host_(host),
      cache_(cache),
      writer_(context.env),
      options_(std::move(options)),
      turn_(context, LeaseOf(context, options_), Setting(cluster::kBackupLease)),
      heard_(context.env.Now()) {}

BackupSession::~BackupSession() = default;

// --- any thread ---

void BackupSession::Publish(const std::function<void(View&)>& change) {
  base::MutexLock lock(mutex_);
  change(view_);
  ++view_.change;
  changed_.NotifyAll();
}

BackupSession::View BackupSession::view() const {
  base::MutexLock lock(mutex_);
  return view_;
}

BackupSession::View BackupSession::WaitChange(uint64_t change, base::Duration limit) const {
  base::MutexLock lock(mutex_);
  if (view_.change == change) changed_.WaitFor(mutex_, limit);
  return view_;
}

void BackupSession::NoteRequester() {
  base::MutexLock lock(mutex_);
  heard_ = context_.env.Now();
}

void BackupSession::Complete(bool succeeded) {
  base::MutexLock lock(mutex_);
  if (!completed_) completed_ = succeeded;
  changed_.NotifyAll();
}

void BackupSession::Cancel() {
  base::MutexLock lock(mutex_);
  cancel_ = true;
  changed_.NotifyAll();
}

bool BackupSession::cancelled() const {
  base::MutexLock lock(mutex_);
  return cancel_;
}

void BackupSession::Renew() {
  turn_.RenewIfDue();
  NoteBackedUp();
}

// What is lost with the daemon before the coordinator has it is made good by the next backup.
void BackupSession::NoteBackedUp() {
  std::optional<backup::BackupDocument> document;
  {
    base::MutexLock lock(mutex_);
    document = unnoted_;
  }
  if (!document) return;
  const base::Status noted = context_.registry.NoteBackedUp(
      options_.database, document->database,
      {document->id, std::string(backup::BackupTypeName(document->type)), document->position,
       document->completed});
  const base::Code code = noted.code();
  if (code == base::Code::kUnavailable || code == base::Code::kTimedOut) return;
  base::MutexLock lock(mutex_);
  unnoted_.reset();
}

base::Duration BackupSession::Setting(std::string_view name) const {
  const std::shared_ptr<const web::GroupView> group = cache_.Get();
  return (group == nullptr ? cluster::GroupSettings() : group->settings).GetDuration(name);
}

std::string_view BackupSession::LimitSetting(WriterEvent event) const {
  const bool window = event == WriterEvent::kFreeze || event == WriterEvent::kThaw;
  return window ? cluster::kFreezeTimeout : cluster::kPrepareTimeout;
}

base::Duration BackupSession::Limit(WriterEvent event) const {
  return options_.phase_limit > base::Duration(0) ? options_.phase_limit
                                                  : Setting(LimitSetting(event));
}

bool BackupSession::Pause(base::Duration length) {
  const base::SteadyTime end = context_.env.Now() + length;
  base::MutexLock lock(mutex_);
  while (!cancel_) {
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) return true;
    changed_.WaitFor(mutex_, left);
  }
  return false;
}

// --- the session's thread ---

void BackupSession::Run() {
  backup::WriterSession session;
  session.id = options_.id;
  session.requester = options_.requester;
  session.type = options_.type;
  base::Status status = writer_.Begin(std::move(session));
  if (status.ok()) status = RunPhases();
  if (!status.ok()) {
    FailWriter(status);
    if (writer_.Enter(WriterEvent::kAbort).ok()) writer_.Leave();
  }
  reading_.reset();
  snapshot_.reset();
  if (context_.log_rules != nullptr) {
    context_.log_rules->ReleaseHold(options_.database, BackupHold(options_.id, "", {}).name);
  }
  if (!exposed_.empty()) RemoveExposed(context_.env, exposed_);
  turn_.End(status.ok());
  writer_.Shutdown();
  NoteBackedUp();
  Report(status);
  Publish([&](View& view) {
    view.status = status;
    view.ready = false;
    view.ended = true;
  });
}

base::Status BackupSession::RunPhases() {
  RETURN_IF_ERROR(Handle(WriterEvent::kPrepareForBackup, &BackupSession::Prepare));
  RETURN_IF_ERROR(Handle(WriterEvent::kPrepareForSnapshot, &BackupSession::PrepareSnapshot));
  freeze_began_ = context_.env.Now();
  RETURN_IF_ERROR(Handle(WriterEvent::kFreeze, &BackupSession::Freeze));
  RETURN_IF_ERROR(Handle(WriterEvent::kThaw, &BackupSession::Thaw));
  RETURN_IF_ERROR(Handle(WriterEvent::kPostSnapshot, &BackupSession::PostSnapshot));
  phase_ = Phase::kTransfer;
  phase_began_ = context_.env.Now();
  RETURN_IF_ERROR(Transfer());
  return Handle(WriterEvent::kBackupComplete, &BackupSession::BackupComplete);
}

base::Status BackupSession::Handle(WriterEvent event, Step step) {
  if (cancelled()) return base::Cancelled("the session was cancelled");
  phase_ = backup::PhaseOf(event);
  phase_began_ = context_.env.Now();
  trouble_ = {};
  RETURN_IF_ERROR(writer_.Enter(event));
  turn_.SetProgress(std::string(backup::PhaseName(phase_)), {});
  Publish([](View&) {});
  RETURN_IF_ERROR(ApplyFaults(event));
  RETURN_IF_ERROR((this->*step)());
  const base::SteadyTime since = event == WriterEvent::kThaw ? freeze_began_ : phase_began_;
  if (const base::Duration limit = Limit(event); context_.env.Now() - since > limit) {
    trouble_.limit = limit;
    trouble_.setting = LimitSetting(event);
    return base::TimedOut(fmt::format("{} took longer than its limit", backup::PhaseName(phase_)));
  }
  writer_.Leave();
  Publish([](View&) {});
  return {};
}

base::Status BackupSession::ApplyFaults(WriterEvent event) {
  for (const BackupFault& fault : options_.faults) {
    if (fault.event != event) continue;
    if (fault.kind == BackupFault::Kind::kSlow) {
      if (!Pause(fault.delay)) return base::Cancelled("the session was cancelled");
    } else if (fault.kind == BackupFault::Kind::kHang) {
      const base::Duration limit = Limit(event);
      if (!Pause(limit)) return base::Cancelled("the session was cancelled");
      trouble_.limit = limit;
      trouble_.setting = LimitSetting(event);
      return base::TimedOut(fmt::format("{} hung, as was ordered", backup::PhaseName(phase_)));
    } else {
      trouble_.code = fault.code;
      return base::Unavailable(fmt::format("{} failed, as was ordered", backup::PhaseName(phase_)));
    }
  }
  return {};
}

void BackupSession::FailWriter(const base::Status& status) {
  backup::WriterFailure failure = trouble_;
  failure.phase = phase_;
  if (failure.code == WriterCode::kOk) failure.code = backup::WriterCodeOf(status);
  failure.message = status.message();
  failure.elapsed = context_.env.Now() - phase_began_;
  writer_.Fail(std::move(failure));
}

void BackupSession::Report(const base::Status& status) {
  const std::string what =
      fmt::format("{} backup {} of {} on {} for {}", backup::BackupTypeName(options_.type),
                  options_.id, options_.database, context_.server, options_.requester);
  if (status.ok()) {
    const View done = view();
    context_.events.Add(
        EventNumber::kBackupCompleted, Severity::kInfo, options_.database,
        options_.repository.empty()
            ? fmt::format("{} is complete: its requester has copied everything", what)
            : fmt::format("{} is complete: {} bytes stored, read back and verified{}{}", what,
                          done.document.bytes_stored, done.note.empty() ? "" : "; ", done.note));
    return;
  }
  const backup::Writer::View writer = writer_.view();
  context_.events.Add(EventNumber::kBackupFailed, Severity::kError, options_.database,
                      fmt::format("{} failed in {}: {} ({})", what, backup::PhaseName(phase_),
                                  status.ToString(), backup::WriterCodeName(writer.last_error)));
}

// --- PrepareForBackup ---

base::Status BackupSession::Prepare() {
  RETURN_IF_ERROR(CheckCopy());
  const bool passive = host_.FindPassive(options_.database) != nullptr;
  turn_.SetRole(passive ? "passive" : "active");
  if (!options_.repository.empty()) {
    ASSIGN_OR_RETURN(repository_,
                     backup::Repository::OpenOrCreate(context_.env, options_.repository));
    repository_->SetHostLocks(env::JoinPath(host_.data_dir(), kHostLocks));
  }
  RETURN_IF_ERROR(TakeTurn());
  if (passive) RETURN_IF_ERROR(AskLogRange());
  context_.events.Add(EventNumber::kBackupStarted, Severity::kInfo, options_.database,
                      ToString(turn_.lease()) + " begins");
  return {};
}

// A copy that is being opened, or changes its role, is waited for; after a restart of the daemon
// every copy is.
base::Status BackupSession::CheckCopy() {
  const base::SteadyTime end = context_.env.Now() + kCopyPatience;
  while (true) {
    std::string state;
    std::string error;
    for (const CopyHost::LocalStatus& local : host_.Statuses()) {
      if (local.database != options_.database) continue;
      state = local.status.state();
      error = local.status.error();
    }
    if (IsOneOf(kReadableStates, state)) return {};
    const bool passes = state.empty() ? options_.resumed : IsOneOf(kPassingStates, state);
    if (!passes || context_.env.Now() >= end) {
      if (!error.empty()) trouble_.causes.push_back(error);
      if (state.empty()) {
        return base::NotFound(
            fmt::format("server {} has no copy of {}", context_.server, options_.database));
      }
      return base::Unavailable(fmt::format("the copy of {} on {} is {} and cannot be read now",
                                           options_.database, context_.server, state));
    }
    if (!Pause(kTurnRetry)) return base::Cancelled("the session was cancelled");
  }
}

base::Status BackupSession::TakeTurn() {
  const base::SteadyTime end = wait_until_ = context_.env.Now() + options_.wait;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<std::string> holder, turn_.Try());
    Publish([&](View& view) { view.waiting_for = holder.value_or(""); });
    if (!holder) return {};
    if (context_.env.Now() >= end) {
      trouble_.limit = options_.wait;
      trouble_.setting = "--wait";
      trouble_.operation = "take the turn among the backups of " + options_.database;
      return base::Busy(fmt::format("another backup of {} runs: {} ({})", options_.database,
                                    *holder, backup::WriterCodeName(WriterCode::kRetryable)));
    }
    if (!Pause(std::min<base::Duration>(kTurnRetry, end - context_.env.Now()))) {
      return base::Cancelled("the session was cancelled");
    }
    phase_began_ = context_.env.Now();  // waiting is no work: the phase's limit begins after it
  }
}

// A query has QueryLogRangeTimeoutInMsec, however often it has to be asked anew within that.
// Without an answer the backup goes on: its consistency point is this copy's own.
base::Status BackupSession::AskLogRange() {
  base::SteadyTime began = context_.env.Now();
  base::Duration pause = kRangeRetryFirst;
  base::Status answer;
  std::string active;
  while (true) {
    const base::Duration left =
        began + Setting(cluster::kQueryLogRangeTimeout) - context_.env.Now();
    if (left <= base::Duration(0)) break;
    // Each time anew: the database may have moved, the limit may have been changed.
    const std::shared_ptr<const web::GroupView> group = cache_.Get();
    const cluster::DatabaseRecord* const record =
        group == nullptr ? nullptr : group->FindDatabase(options_.database);
    active = record == nullptr ? "" : record->active;
    Publish([&](View& view) { view.progress.phase = "asking " + active + " for its log range"; });
    answer = active.empty() ? base::Unavailable("the active copy's server is not known")
                            : turn_.AskLogRange(active, left);
    if (answer.ok()) {
      Publish([](View& view) { view.waiting_for.clear(); });
      return {};
    }
    if (answer.code() == base::Code::kBusy && context_.env.Now() < wait_until_) {
      Publish([&](View& view) { view.waiting_for = answer.message(); });
      began = context_.env.Now();  // of the question; the wait has its own limit
      if (!Pause(kTurnRetry)) return base::Cancelled("the session was cancelled");
      continue;
    }
    if (answer.code() == base::Code::kBusy) {
      trouble_.peer = active;
      trouble_.operation = "AnnounceBackup";
      return base::Busy(fmt::format("another backup of {} runs: {} ({})", options_.database,
                                    answer.message(),
                                    backup::WriterCodeName(WriterCode::kRetryable)));
    }
    const base::Duration rest =
        began + Setting(cluster::kQueryLogRangeTimeout) - context_.env.Now();
    if (!Pause(std::min(pause, std::max(rest, base::Duration(0))))) {
      return base::Cancelled("the session was cancelled");
    }
    pause = std::min<base::Duration>(pause * 2, kRangeRetryMax);
  }
  context_.events.Add(
      EventNumber::kBackupAlone, Severity::kWarning, options_.database,
      fmt::format("{} goes on without the log range of the active copy: {} did not answer within "
                  "{} ms ({}): {}",
                  ToString(turn_.lease()), active.empty() ? "nobody" : active,
                  Setting(cluster::kQueryLogRangeTimeout) / std::chrono::milliseconds(1),
                  cluster::kQueryLogRangeTimeout, base::FirstLine(answer.message())));
  phase_began_ = context_.env.Now();  // what the active copy's server took is no fault of the copy
  return {};
}

}  // namespace understudy::server
