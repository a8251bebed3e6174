// SPDX-License-Identifier: Apache-2.0
// Opening, connection and work; seeding and resync are in passive_copy_seed.cc, lag is in
// passive_copy_lag.cc, what it tells of itself is in passive_copy_status.cc.
#include "server/passive_copy.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/retention.h"

namespace understudy::server {
namespace {

constexpr base::Duration kRetryDelayFirst = std::chrono::seconds(1);
constexpr base::Duration kRetryDelayMax = std::chrono::seconds(30);
constexpr base::Duration kRecheckInterval = std::chrono::seconds(5);
// How often a copy that is handing over is looked at.
constexpr base::Duration kHandoverLook = std::chrono::milliseconds(5);
constexpr base::Duration kRetentionInterval = std::chrono::seconds(5);
// Heartbeats that a live connection may be late before its silence counts as ignorance.
constexpr int kHeartbeatsOverdue = 2;

// Replay's failures that other pages cure.
bool NeedsNewPages(base::Code code) {
  return code == base::Code::kLogGap || code == base::Code::kDiverged ||
         code == base::Code::kCorruption;
}
}  // namespace

PassiveCopy::PassiveCopy(const ServerContext& context, Options options,
                         std::shared_ptr<rpc::Signal> link)
    : context_(context),
      options_(std::move(options)),
      link_(std::move(link)),
      worker_(context_.env, options_.name, link_),
      seed_link_(context_, link_),
      freshness_(context_.settings.Get().ship.heartbeat * kHeartbeatsOverdue) {
  Publish();
}

PassiveCopy::~PassiveCopy() = default;

// --- opening and closing ---

base::Status PassiveCopy::OpenLog() {
  log::LogStore::Options log_options;
  log_options.directory = options_.paths.log;
  log_options.database = options_.id;
  log_options.generation_bytes = context_.settings.Get().log.generation_bytes;
  ASSIGN_OR_RETURN(log_, log::LogStore::Open(context_.env, log_options));
  seen_log_change_ = 0;
  ship::LogCopier::Options copier_options;
  copier_options.database = options_.id;
  copier_options.database_name = options_.name;
  copier_options.incarnation = options_.incarnation;
  copier_options.window_bytes = context_.settings.Get().ship.window_bytes;
  copier_options.recheck_interval = kRecheckInterval;
  copier_ = std::make_unique<ship::LogCopier>(context_.env, copier_options, *log_);
  return {};
}

base::Status PassiveCopy::Open(base::SteadyTime now) {
  RETURN_IF_ERROR(ClaimCopyDirectory(context_.env, env::DirectoryOf(options_.paths.directory),
                                     options_.name, options_.id));
  ASSIGN_OR_RETURN(mark_, LoadReseedMark(context_.env, options_.paths.directory));
  if (mark_ && mark_->stage == ReseedMark::Stage::kRemoveLog) RETURN_IF_ERROR(RemoveOldLog());
  const base::Status log_opened = OpenLog();
  if (mark_ && mark_->stage == ReseedMark::Stage::kSave) return BeginSave(log_opened, now);
  if (log_opened.code() == base::Code::kCorruption && ReseedDue(now)) {
    Reseed(log_opened, false, now);
  }
  RETURN_IF_ERROR(log_opened);
  OpenLag();
  const bool has_database = env::Exists(context_.env, options_.path);
  const bool unfinished = env::Exists(context_.env, options_.path + ".seeding.state");
  const bool has_log = log_->end().position.seq.value > 0;
  if (has_database && has_log && !unfinished && !mark_) {
    StartReplay();
  } else {
    // Without log of ours the file there is somebody else's: the seed refuses to replace it.
    RETURN_IF_ERROR(OpenSeed(has_database && (mark_ || has_log), now));
  }
  if (suspended_) copier_->Suspend("by an administrator", now);
  if (channel_ != nullptr) {
    copier_->OnConnected(*channel_, source_, now);
  }
  RouteSeed("", now);
  return {};
}

void PassiveCopy::StartReplay() {
  replay::Replayer::Options options;
  options.path = options_.path;
  options.checkpoint_path = options_.paths.checkpoint;
  options.database = options_.id;
  ship::RunResult ignored;
  FollowLag(context_.env.Now(), ignored);  // the limit stands before replay begins
  worker_.Start(options, log_);
  replaying_ = true;
}

void PassiveCopy::CloseAll(const base::Status& why, base::SteadyTime now) {
  worker_.Halt();
  if (log_) SaveLagMarks(now);
  reclaiming_.reset();
  replaying_ = false;
  about_to_reseed_ = false;
  saving_.reset();
  seed_.reset();
  RouteSeed("", now);
  LeaveSeeds();
  copier_.reset();
  log_.reset();
  {
    base::MutexLock lock(mutex_);
    held_log_ = {};
  }
  broken_ = why;
  retry_delay_ = std::clamp<base::Duration>(retry_delay_ * 2, kRetryDelayFirst, kRetryDelayMax);
  retry_at_ = now + retry_delay_;
}

void PassiveCopy::Shut() {
  CloseAll(base::Cancelled("the copy is closed"), context_.env.Now());
  channel_ = nullptr;
}

// --- connection ---

void PassiveCopy::OnConnected(ship::Channel& channel, const std::string& source,
                              base::SteadyTime now) {
  channel_ = &channel;
  source_ = source;
  if (copier_) copier_->OnConnected(channel, source, now);
  RouteSeed("", now);
}

void PassiveCopy::OnDisconnected(const std::string& cause, base::SteadyTime now) {
  if (channel_ == nullptr) return;
  channel_ = nullptr;
  if (copier_) copier_->OnDisconnected(cause, now);
  RouteSeed(cause, now);
}

void PassiveCopy::OnMessage(ship::Message&& message, base::SteadyTime now) {
  {
    base::MutexLock lock(mutex_);
    heard_ = now;
  }
  if (const auto* parts = std::get_if<ship::Parts>(&message)) {
    source_term_ = std::max(source_term_, parts->source_term);
  } else if (const auto* refused = std::get_if<ship::Refused>(&message)) {
    source_term_ = std::max(source_term_, refused->term);
  }
  if (ship::IsOfSeed(message)) {
    if (seed_ && seed_channel_ == channel_) seed_->OnMessage(std::move(message), now);
  } else if (copier_) {
    copier_->OnMessage(std::move(message), now);
    unheeded_ = now;
  }
}

// --- work ---

ship::RunResult PassiveCopy::RunOnce(base::SteadyTime now) {
  ship::RunResult result;
  if (handed_over_) return result;
  ApplyWishes(now);
  if (!log_ && !saving_) {
    if (now < retry_at_) {
      result.Sooner(retry_at_);
      FollowHandover(now, result);
      if (!handed_over_) Publish();
      return result;
    }
    const base::Status opened = Open(now);
    if (!opened.ok()) {
      CloseAll(opened, now);
      Publish();
      result.Sooner(retry_at_);
      return result;
    }
    broken_ = {};
  }
  if (!copier_) {
    if (saving_) FollowSave(now, result);
    FollowHandover(now, result);
    Publish();
    if (!log_ && !saving_) result.Sooner(retry_at_);
    return result;
  }
  copier_->SetReplayed(worker_.progress().replayed.position);
  result = copier_->RunOnce(now);
  FollowSeed(now, result);
  if (log_ && log_->change_count() != seen_log_change_) {
    seen_log_change_ = log_->change_count();
    worker_.LogChanged();
  }
  if (log_) FollowReplay(now);
  if (log_) FollowCopier(now);
  if (log_) FollowLag(now, result);
  if (log_) ApplyRetentionNow(now);
  FollowHandover(now, result);
  if (!handed_over_) Publish();
  if (!log_) result.Sooner(retry_at_);
  return result;
}

void PassiveCopy::ApplyWishes(base::SteadyTime now) {
  Wishes wishes;
  {
    base::MutexLock lock(mutex_);
    wishes = wishes_;
    wishes_.reseed.reset();
    wishes_.play_down_to = {};
  }
  replay_lag_ = wishes.replay_lag;
  few_copies_ = wishes.few_copies;
  if (wishes.play_down_to.value > 0) lag_.PlayDown(wishes.play_down_to, wishes.play_down_why);
  history_ = wishes.history;
  if (seed_from_ != wishes.seed_from) {
    seed_from_ = wishes.seed_from;
    source_given_up_ = false;
  }
  if (wishes.reseed) ReseedAsAsked(*wishes.reseed, now);
  if (copier_) copier_->SetTermKnown(wishes.term_known);
  if (seed_) seed_->SetTermKnown(wishes.term_known);
  if (wishes.hand_over && handover_since_ == base::SteadyTime{}) handover_since_ = now;
  if (wishes.suspended == suspended_) return;
  suspended_ = wishes.suspended;
  worker_.SetPaused(suspended_);
  if (suspended_) {
    if (copier_) copier_->Suspend(wishes.reason, now);
    RouteSeed("suspended", now);
  } else {
    if (copier_) copier_->Resume(now);
    if (!seed_) return;
    copier_->SeedBegin(now);
    RouteSeed("", now);
  }
}

void PassiveCopy::FollowReplay(base::SteadyTime now) {
  if (!replaying_) return;
  const base::Status failure = worker_.progress().failure;
  if (failure.ok()) {
    if (worker_.progress().open) retry_delay_ = {};
    return;
  }
  const base::Status why = failure.WithContext("replay");
  if (NeedsNewPages(failure.code()) && ReseedDue(now)) {
    Reseed(why, false, now);
  } else {
    CloseAll(why, now);
  }
}

// The database is what the log says, to its end: it may be all that is left of that.
bool PassiveCopy::ReplayIsAtEnd() const {
  if (!replaying_) return true;
  const ReplayWorker::Progress progress = worker_.progress();
  return progress.open && progress.replayed.position.seq >= log_->durable().seq;
}

void PassiveCopy::FollowCopier(base::SteadyTime now) {
  const base::Status failure = copier_->failure();
  const bool gap = failure.code() == base::Code::kLogGap || failure.code() == base::Code::kDiverged;
  about_to_reseed_ = gap && ReseedDue(now) && !suspended_;
  if (!gap) history_due_ = {};
  if (about_to_reseed_) {
    if (HistoryReaches(now) && ReplayIsAtEnd()) Reseed(failure, false, now);
  } else if (!seed_ &&
             (failure.code() == base::Code::kIoError || failure.code() == base::Code::kNoSpace)) {
    CloseAll(failure, now);
  }
}

// --- handover ---

// Ready when everything here is replayed, and everything that the former active has is here; that
// one is waited for a little, as long as it is connected.
void PassiveCopy::FollowHandover(base::SteadyTime now, ship::RunResult& result) {
  if (handover_since_ == base::SteadyTime{} || handed_over_) return;
  if (worker_.progress().replayed.position.seq > handover_replayed_) {
    handover_replayed_ = worker_.progress().replayed.position.seq;
    handover_moved_ = now;
  }
  const base::Duration waited = now - handover_since_;
  if (now - std::max(handover_since_, handover_moved_) > kHandoverLimit ||
      (!log_ && !broken_.ok()) || seed_ || mark_ || about_to_reseed_) {
    const std::string what = !broken_.ok() ? broken_.ToString()
                             : mark_ || about_to_reseed_
                                 ? "its database is of another history and is being replaced"
                             : seed_ ? "it is not seeded yet"
                                     : "its replay did not end in time";
    FinishHandover({nullptr, base::Unavailable(what), false}, now);
    return;
  }
  result.Sooner(now + kHandoverLook);
  if (!log_) return;
  const ship::LogCopier::Status& copier = copier_->status();
  const bool complete = copier.connected && copier.source_end.seq.value > 0 &&
                        log_->durable().seq >= copier.source_end.seq;
  if (copier.connected && !complete && waited < kLastLogsLimit) return;
  const ReplayWorker::Progress progress = worker_.progress();
  if (!progress.open || progress.replayed.position.seq < log_->durable().seq) return;
  base::Result<DatabaseLock> lock = worker_.HandOver(kHandoverLimit);
  if (!lock.ok()) return FinishHandover({nullptr, lock.status(), complete}, now);
  auto handover = std::make_shared<Handover>(Handover{log_, std::move(lock).value()});
  FinishHandover({std::move(handover), {}, complete}, now);
}

void PassiveCopy::FinishHandover(HandoverResult&& result, base::SteadyTime now) {
  CloseAll(base::Cancelled("the copy is being mounted"), now);
  base::Status dropped;
  if (result.handover && result.handover->log->incomplete()) {
    dropped = result.handover->log->DropIncomplete();
  }
  if (result.handover) result.handover->log->ReleaseHold(std::string(kLagHold));
  if (!dropped.ok()) result = {nullptr, dropped, result.last_logs_copied};
  handed_over_ = true;
  base::MutexLock lock(mutex_);
  handover_ = std::move(result);
}

void PassiveCopy::RequestHandover() {
  {
    base::MutexLock lock(mutex_);
    wishes_.hand_over = true;
  }
  link_->Notify();
}

std::optional<PassiveCopy::HandoverResult> PassiveCopy::TakeHandover() {
  base::MutexLock lock(mutex_);
  return std::exchange(handover_, std::nullopt);
}

void PassiveCopy::ApplyRetentionNow(base::SteadyTime now) {
  // Replay's hold is known once it is open. Before that, log that it will need looks unneeded.
  if (now < next_retention_ || !worker_.progress().open) return;
  next_retention_ = now + kRetentionInterval;
  const base::Result<uint64_t> freed =
      ApplyRetention(*log_, lag_.for_disk() ? 0 : context_.settings.Get().log.keep_bytes);
  if (!freed.ok()) {
    base::Diag(base::DiagLevel::kWarning, "log", "log could not be truncated",
               {{"database", options_.name}, {"why", freed.status().ToString()}});
  }
}

void PassiveCopy::SetTermKnown(base::Term term) {
  {
    base::MutexLock lock(mutex_);
    wishes_.term_known = std::max(wishes_.term_known, term);
  }
  link_->Notify();
}

void PassiveCopy::SetHistory(std::vector<cluster::TermStart> history) {
  auto shared = std::make_shared<const std::vector<cluster::TermStart>>(std::move(history));
  base::MutexLock lock(mutex_);
  wishes_.history = std::move(shared);
}

void PassiveCopy::SetSuspended(bool suspended, const std::string& reason) {
  {
    base::MutexLock lock(mutex_);
    wishes_.suspended = suspended;
    wishes_.reason = reason;
    at_rest_ = at_rest_ && suspended;
  }
  link_->Notify();
}

}  // namespace understudy::server
