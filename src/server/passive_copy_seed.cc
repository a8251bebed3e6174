// SPDX-License-Identifier: Apache-2.0
// How a passive copy gets the active's pages: seed, resync, and what is saved before.
#include <fmt/format.h>

#include <utility>

#include "base/diag.h"
#include "base/planted.h"
#include "server/copy_pages.h"
#include "server/passive_copy.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;
using Stage = ReseedMark::Stage;

constexpr base::Duration kReseedInterval = std::chrono::seconds(60);
// How long the registry may take to know a term that a source has told us.
constexpr base::Duration kHistoryWait = std::chrono::seconds(10);
// How often a seed looks whether it has a slot now.
constexpr base::Duration kSlotLook = std::chrono::milliseconds(200);

std::string ReasonOf(const LostRange& range, const log::LogEnd& end,
                     const base::Status& log_opened) {
  if (!log_opened.ok()) return "the log is damaged, so all of it is kept: " + log_opened.message();
  if (range.by.term.value == 0) {
    return fmt::format(
        "the log ends at {}, which the active copy does not have, and the group does "
        "not remember from where on it went another way",
        base::ToString(end.position));
  }
  return fmt::format("term {} began on {} after {} ({}), but the log here goes on to {}",
                     range.by.term.value, range.by.server, base::ToString(range.after),
                     range.by.reason, base::ToString(end.position));
}

std::string SavedText(const LostManifest& lost, const std::string& directory) {
  const std::string kept =
      fmt::format("kept in {}; look at it with: understudy lost show {}", directory, lost.id);
  if (lost.records == 0) {
    return fmt::format("the log of {} on {} is damaged; all of it is {}", lost.database,
                       lost.server, kept);
  }
  return fmt::format(
      "the group went on without commits {} to {} of {} on {}: {} commits in {} "
      "records with changes of {} pages, {}",
      base::ToString(lost.first), base::ToString(lost.last), lost.database, lost.server,
      lost.last.seq.value - lost.first.seq.value + 1, lost.records, lost.pages, kept);
}

}  // namespace

// --- why and how ---

// Once in a while, so that what other pages do not cure is not tried all the time; a new term is a
// new cause, however soon it comes.
bool PassiveCopy::ReseedDue(base::SteadyTime now) const {
  return now >= next_reseed_ || source_term_ > reseed_term_;
}

// Whether the history tells where the newest term began that sources have told of.
bool PassiveCopy::HistoryReaches(base::SteadyTime now) {
  const bool reaches = history_ && !history_->empty() && history_->back().term >= source_term_;
  if (history_due_ == base::SteadyTime()) history_due_ = now + kHistoryWait;
  if (!reaches && now < history_due_) return false;
  history_due_ = {};
  return true;
}

void PassiveCopy::Reseed(const base::Status& why, bool full, base::SteadyTime now) {
  ReseedMark mark;
  mark.full = full || (mark_ && mark_->full);
  mark.diverged = copier_ && copier_->failure().code() == base::Code::kDiverged;
  mark.from_replay = !mark_ && env::Exists(context_.env, options_.path) &&
                     !env::Exists(context_.env, options_.path + ".seeding.state");
  const bool asked = why.code() == base::Code::kCancelled;  // by a person: nothing has failed
  mark.why = asked ? why.message() : why.ToString();
  context_.events.Add(asked ? EventNumber::kCopyStateChanged : EventNumber::kCopyFailed,
                      asked ? Severity::kInfo : Severity::kError, options_.name,
                      fmt::format("the copy of {} on {} is {}: {}", options_.name, context_.server,
                                  mark.full ? "seeded anew" : "resynchronised", mark.why));
  CloseAll(why, now);
  next_reseed_ = now + kReseedInterval;
  reseed_term_ = source_term_;
  broken_ = SaveReseedMark(context_.env, options_.paths.directory, mark);
  mark_ = std::move(mark);
  if (broken_.ok()) retry_at_ = now;  // Open finds the mark
}

void PassiveCopy::ReseedAsAsked(bool full, base::SteadyTime now) {
  if (!mark_) {
    Reseed(base::Cancelled("an administrator asked for it"), full, now);
    return;
  }
  // On the way already: what is left is how many pages are fetched.
  if (!full || mark_->full) return;
  ReseedMark mark = *mark_;
  mark.full = true;
  if (seed_) seed_->Cancel();
  CloseAll(base::Cancelled("all pages are fetched, as an administrator asked"), now);
  broken_ = SaveReseedMark(context_.env, options_.paths.directory, mark);
  if (broken_.ok()) retry_at_ = now;
}

base::Status PassiveCopy::RequestReseed(bool full) {
  {
    base::MutexLock lock(mutex_);
    if (status_.error_code() == base::CodeName(base::Code::kAlreadyExists)) {
      return base::AlreadyExists(status_.error());
    }
    if (wishes_.suspended) {
      return base::InvalidArgument(
          fmt::format("the copy of {} on {} is suspended\nresume it first: understudy copy resume "
                      "{} {}",
                      options_.name, context_.server, options_.name, context_.server));
    }
    const bool seeding = status_.state() == "Seeding";
    if (seeding || (!full && status_.seed_bytes_total() > 0)) {
      return base::Busy(fmt::format("the copy of {} on {} is being {} already", options_.name,
                                    context_.server, seeding ? "seeded" : "resynchronised"));
    }
    wishes_.reseed = full;
    status_.set_reseeding(true);
  }
  link_->Notify();
  return {};
}

// --- what the group went on without ---

base::Status PassiveCopy::EnterStage(Stage stage) {
  mark_->stage = stage;
  return SaveReseedMark(context_.env, options_.paths.directory, *mark_);
}

base::Status PassiveCopy::RemoveOldLog() {
  RETURN_IF_ERROR(RemoveLog(context_.env, options_.paths));
  return EnterStage(Stage::kSeed);
}

base::Status PassiveCopy::BeginSave(const base::Status& log_opened, base::SteadyTime now) {
  if (!log_opened.ok() && log_opened.code() != base::Code::kCorruption) return log_opened;
  copier_.reset();
  const log::LogEnd end = log_ ? log_->end() : log::LogEnd();
  static const std::vector<cluster::TermStart> kNone;
  const std::optional<LostRange> lost =
      log_opened.ok() ? FindLost(history_ ? *history_ : kNone, end, mark_->diverged)
                      : std::optional(LostRange());
  if (!lost || PLANTED("lost-log-not-kept")) {
    log_.reset();
    retry_at_ = now;
    return EnterStage(Stage::kRemoveLog);
  }
  LostLogWriter::Options options;
  options.directory = options_.paths.directory;
  options.log_directory = options_.paths.log;
  if (mark_->lost_id.empty()) {
    const base::Seq first =
        log_ ? std::max(lost->after.seq.Next(), log_->first_seq()) : base::Seq();
    mark_->lost_id = LostId(context_.env.WallNow(), {end.position.term, first});
    RETURN_IF_ERROR(EnterStage(Stage::kSave));
  }
  options.id = mark_->lost_id;
  options.database = options_.name;
  options.database_id = options_.id;
  options.server = context_.server;
  options.range = *lost;
  options.reason = ReasonOf(*lost, end, log_opened);
  options.database_bytes_max = context_.settings.Get().lost.database_bytes_max;
  std::unique_ptr<ship::BasePages> database;
  if (mark_->from_replay) {
    auto opened = OpenCopyPages(options_.path);
    if (opened.status().code() == base::Code::kBusy) return opened.status();
    options.database_left_out =
        opened.ok() ? "" : "it cannot be read: " + opened.status().message();
    if (opened.ok()) database = std::move(opened).value();
  } else {
    options.database_left_out = "there was no whole database, a seed was under way";
  }
  saving_ =
      std::make_unique<LostLogWriter>(context_.env, std::move(options), log_, std::move(database));
  return {};
}

void PassiveCopy::FollowSave(base::SteadyTime now, ship::RunResult& result) {
  const base::Result<bool> done = saving_->RunOnce();
  if (!done.ok()) return CloseAll(done.status(), now);
  result.worked = true;
  if (!*done) return;
  const LostManifest lost = saving_->manifest();
  const std::string directory = saving_->bundle_directory();
  saving_.reset();
  log_.reset();
  retry_at_ = now;
  if (!lost.files.empty()) {
    context_.events.Add(EventNumber::kLostLogSaved, Severity::kWarning, options_.name,
                        SavedText(lost, directory));
  }
  if (const base::Status entered = EnterStage(Stage::kRemoveLog); !entered.ok()) {
    CloseAll(entered, now);
  }
}

// --- the seed ---

// The pages that are here; null when all are to be fetched. An error is of the moment.
base::Result<std::unique_ptr<ship::BasePages>> PassiveCopy::OpenBase(bool has_database) {
  using Pages = std::unique_ptr<ship::BasePages>;
  if (!has_database || !mark_ || mark_->full) return Pages();
  auto opened = OpenCopyPages(options_.path);
  const base::Code code = opened.status().code();
  if (opened.ok() || code == base::Code::kBusy || code == base::Code::kIoError) return opened;
  base::Diag(base::DiagLevel::kWarning, "server", "nothing of a copy's file can be used",
             {{"database", options_.name}, {"why", opened.status().ToString()}});
  return Pages();
}

base::Status PassiveCopy::OpenSeed(bool replace, base::SteadyTime now) {
  RETURN_IF_ERROR(context_.env.MakeDirectories(env::DirectoryOf(options_.path)));
  ship::SeedTarget::Options options;
  options.database = options_.id;
  options.database_name = options_.name;
  options.incarnation = options_.incarnation;
  options.path = options_.path;
  options.checkpoint_path = options_.paths.checkpoint;
  options.replace_existing = replace;
  options.window_bytes = context_.settings.Get().ship.window_bytes;
  ASSIGN_OR_RETURN(std::unique_ptr<ship::BasePages> base, OpenBase(replace));
  const uint32_t pages_here = base ? base->pages() : 0;
  ASSIGN_OR_RETURN(seed_, ship::SeedTarget::Open(context_.env, options, *log_, std::move(base)));
  copier_->SeedBegin(now);
  const std::string from = PagesElsewhere() ? ", with pages from " + seed_from_ : std::string();
  if (resynchronizing()) {
    context_.events.Add(EventNumber::kResyncStarted, Severity::kInfo, options_.name,
                        fmt::format("resynchronising the copy of {} on {}, which has {} pages{}",
                                    options_.name, context_.server, pages_here, from));
  } else {
    context_.events.Add(
        EventNumber::kSeedStarted, Severity::kInfo, options_.name,
        fmt::format("seeding the copy of {} on {}{}", options_.name, context_.server, from));
  }
  return {};
}

// From the moment that this copy is known to need other pages until the seed is whole, unless all
// of them are fetched.
bool PassiveCopy::resynchronizing() const {
  if (about_to_reseed_) return true;
  if (seed_ && !replaying_) return seed_->status().resync;
  return saving_ != nullptr || (mark_ && !mark_->full && !log_ && broken_.ok());
}

// Whether the seed may go on. One whose source is away gives its slot back.
bool PassiveCopy::EnterSeeds(base::SteadyTime now) {
  if (context_.seeds == nullptr) return true;
  if (seed_channel_ == nullptr) {
    LeaveSeeds();
    return true;
  }
  if (has_seed_slot_) return true;
  has_seed_slot_ = context_.seeds->taken.Enter(options_.name, source_, context_.seeds->parallel,
                                               now, seed_waits_);
  if (has_seed_slot_) seed_waits_.clear();
  return has_seed_slot_;
}

void PassiveCopy::LeaveSeeds() {
  seed_waits_.clear();
  if (context_.seeds == nullptr || !std::exchange(has_seed_slot_, false)) return;
  context_.seeds->taken.Leave(options_.name, source_);
}

void PassiveCopy::FollowSeed(base::SteadyTime now, ship::RunResult& result) {
  if (!seed_ || suspended_ || replaying_) LeaveSeeds();
  if (!seed_ || suspended_) return;
  if (replaying_) {
    // The seed is done; its hold goes once replay has its own.
    if (!worker_.progress().open) return;
    seed_->ReleaseHold();
    seed_.reset();
    return;
  }
  FollowSeedLink(now, result);
  if (!EnterSeeds(now)) {
    result.Sooner(now + kSlotLook);
    return;
  }
  if (context_.seeds != nullptr) {
    seed_->SetRate(seed_rate_.rate() > 0 ? &seed_rate_ : &context_.seeds->taken_rate);
  }
  const ship::RunResult run = seed_->RunOnce(now);
  result.worked = result.worked || run.worked;
  result.Sooner(run.next);
  switch (seed_->status().state) {
    case ship::SeedTarget::State::kFailed: SeedFailed(now); return;
    case ship::SeedTarget::State::kDone:
      if (const base::Status done = SeedDone(now); !done.ok()) CloseAll(done, now);
      result.worked = true;
      return;
    case ship::SeedTarget::State::kRehashing:
    case ship::SeedTarget::State::kWaiting:
    case ship::SeedTarget::State::kCopying:
    case ship::SeedTarget::State::kReplaying: return;
  }
}

void PassiveCopy::SeedFailed(base::SteadyTime now) {
  const base::Status why = seed_->status().failure;
  const bool resync = seed_->status().resync;
  // Whatever it was: another source is worth a try, unless it is this server that has no room.
  if (TakesFromOther() && why.code() != base::Code::kNoSpace) {
    GiveSourceUp(why.message());
  }
  context_.events.Add(
      resync ? EventNumber::kResyncFailed : EventNumber::kSeedFailed, Severity::kError,
      options_.name,
      fmt::format("{} the copy of {} on {} failed: {}", resync ? "resynchronising" : "seeding",
                  options_.name, context_.server, why.ToString()));
  // The log that has come with it is of another history: both begin anew.
  const bool anew = why.code() == base::Code::kDiverged || why.code() == base::Code::kLogGap;
  if (anew && ReseedDue(now) && HistoryReaches(now)) {
    Reseed(why, false, now);
  } else {
    CloseAll(why, now);
  }
}

base::Status PassiveCopy::SeedDone(base::SteadyTime now) {
  RETURN_IF_ERROR(RemoveReseedMark(context_.env, options_.paths.directory));
  mark_.reset();
  source_given_up_ = false;
  const ship::SeedTarget::Status& seed = seed_->status();
  const std::string at = base::ToString(seed_->checkpoint().at.position);
  if (seed.resync) {
    const log::LogEnd& end = seed_->checkpoint().at;
    context_.events.Add(
        EventNumber::kResyncCompleted, Severity::kInfo, options_.name,
        fmt::format("the copy of {} on {} is resynchronised at {}: {} of {} pages were fetched, {} "
                    "bytes received and {} sent for a database of {} bytes",
                    options_.name, context_.server, at, seed.pages_fetched, end.pages,
                    seed.bytes_received, seed.hash_bytes_sent,
                    uint64_t{end.pages} * end.page_size));
  } else {
    context_.events.Add(EventNumber::kSeedCompleted, Severity::kInfo, options_.name,
                        fmt::format("the copy of {} on {} is seeded: {} bytes of pages, at {}",
                                    options_.name, context_.server, seed.page_bytes_total, at));
  }
  copier_->SeedEnd(now);
  StartReplay();
  return {};
}

}  // namespace understudy::server
