// SPDX-License-Identifier: Apache-2.0
// How the active copy is mounted, and how a former active copy is retired.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/first_line.h"
#include "base/planted.h"
#include "env/boot_id.h"
#include "log/checkpoint_file.h"
#include "server/active_copy.h"
#include "server/reseed_mark.h"
#include "ship/log_source.h"
#include "sqlite/database_check.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

uint64_t NextMountNumber() {
  static std::atomic<uint64_t> number{0};
  return ++number;
}

}  // namespace

MountedDatabase ActiveCopy::Database() const {
  const base::Result<std::string> boot = env::BootId(context_.env);
  return {options_.path, options_.id, options_.paths, boot.ok() ? *boot : std::string()};
}

base::Result<std::shared_ptr<log::LogStore>> ActiveCopy::OpenLog() {
  RETURN_IF_ERROR(ClaimCopyDirectory(context_.env, env::DirectoryOf(options_.paths.directory),
                                     options_.name, options_.id));
  log::LogStore::Options log_options;
  log_options.directory = options_.paths.log;
  log_options.database = options_.id;
  log_options.generation_bytes = context_.settings.Get().log.generation_bytes;
  ASSIGN_OR_RETURN(std::unique_ptr<log::LogStore> opened,
                   log::LogStore::Open(context_.env, log_options));
  return std::shared_ptr<log::LogStore>(std::move(opened));
}

// A copy whose log and database were being replaced has neither of one history: mounted, it would
// bring back what the group went on without, or half of a seed.
base::Status ActiveCopy::CheckNotReplaced() {
  ASSIGN_OR_RETURN(const bool ours, IsDirectoryOf(context_.env, options_.paths, options_.id));
  if (!ours) return {};  // of a database that was removed; its files are moved aside
  ASSIGN_OR_RETURN(const std::optional<ReseedMark> mark,
                   LoadReseedMark(context_.env, options_.paths.directory));
  if (!mark) return {};
  const std::string why = base::FirstLine(mark->why);
  return base::Unavailable(fmt::format(
      "the copy of {0} on {1} is not whole, because its pages were being replaced when it was made "
      "the active one ({2}), so it is not mounted\nbring back a server that has a whole copy and "
      "make that the active one (understudy failover run {0} --to SERVER while {1} is stopped), or "
      "restore a backup",
      options_.name, context_.server, why.empty() ? "its mark does not say why" : why));
}

// Its former active copy may go on being written, on the word of this server among others.
base::Status ActiveCopy::CheckNotPromised() const {
  const base::Duration left =
      options_.taken_from.empty() ? base::Duration(0) : context_.promises.Left(options_.taken_from);
  if (left <= base::Duration(0)) return {};
  return base::Unavailable(fmt::format(
      "{} was made the active server of {}, but {} goes on in failsafe mode and has this server's "
      "promise for {:.1f} s more; mounted after that",
      context_.server, options_.name, options_.taken_from,
      std::chrono::duration<double>(left).count()));
}

// The database with its log at its end: locked, if it has the read-only mark. Nothing is changed
// in the registry yet.
base::Result<Handover> ActiveCopy::PrepareMount() {
  if (handover_ != nullptr) {
    Handover handover = std::move(*handover_);
    handover_.reset();
    return handover;
  }
  RETURN_IF_ERROR(CheckNotReplaced());
  // Looked at before a term is taken: a database that is away must not use one up every few
  // seconds.
  ASSIGN_OR_RETURN(
      const sqlite::DatabaseFacts facts,
      sqlite::CheckDatabase(context_.env, options_.path,
                            {.set_wal_mode = options_.set_wal, .allow_read_only_mark = true}));
  Handover handover;
  ASSIGN_OR_RETURN(handover.log, OpenLog());
  ASSIGN_OR_RETURN(const bool left_mounted,
                   WasLeftMounted(context_.env, options_.paths, options_.id));
  if (!facts.read_only_mark || left_mounted) {
    RETURN_IF_ERROR(RollForward(*handover.log));
    RETURN_IF_ERROR(MendLostEnd(handover));
    if (!facts.read_only_mark) return handover;
    // Fenced after a crash (fence.h): it may have commits that are in no log.
    handover.at_log_end = false;
    ASSIGN_OR_RETURN(handover.lock, LockDatabase(context_.env, options_.path,
                                                 context_.env.Now() + kRollForwardLockWaitMax));
    return handover;
  }
  const base::SteadyTime until = context_.env.Now() + kRollForwardLockWaitMax;
  base::Result<DatabaseLock> lock =
      LockMarkedDatabase(context_.env, Database(), *handover.log, until);
  if (lock.status().code() == base::Code::kLogGap) {
    RETURN_IF_ERROR(RestartLog(handover, lock.status()));
    lock = LockDatabase(context_.env, options_.path, until);
  }
  ASSIGN_OR_RETURN(handover.lock, std::move(lock));
  return handover;
}

// Of a database that was mounted: its page table is further than its log, which damage has cut. It
// is mounted all the same where it has what the log had; where a power cut may have undone some of
// that, other copies are better, and no term is used up.
base::Status ActiveCopy::MendLostEnd(Handover& handover) {
  const base::Position end = handover.log->end().position;
  const base::Result<log::Checkpoint> saved =
      log::LoadCheckpoint(context_.env, options_.paths.checkpoint);
  if (end.seq.value == 0 || !saved.ok() || saved->database != options_.id ||
      saved->at.position.seq <= end.seq) {
    return {};  // capture finds out what differs
  }
  ASSIGN_OR_RETURN(const bool may_lack, MayLackCommits(context_.env, Database(), saved->at.source));
  const base::Status why = base::Corruption(fmt::format(
      "the log of {0} on {1} is damaged and ends at {2}, and it was at {3}{4}", options_.name,
      context_.server, base::ToString(end), base::ToString(saved->at.position),
      may_lack ? fmt::format("; a restart of the machine may have undone commits that "
                             "it had\nother copies have them: understudy failover run "
                             "{}",
                             options_.name)
               : ""));
  return may_lack ? why : RestartLog(handover, why);
}

// Damage has taken the log's end away, and the database is further than that: a new log begins
// where the page table was saved. Copies that have less than that are resynchronised.
// A crash in between leaves a log that ends too early still, so this is done again.
base::Status ActiveCopy::RestartLog(Handover& handover, const base::Status& why) {
  ASSIGN_OR_RETURN(const log::Checkpoint saved,
                   log::LoadCheckpoint(context_.env, options_.paths.checkpoint));
  if (saved.database != options_.id || saved.at.position.seq <= handover.log->end().position.seq) {
    return why;
  }
  if (PLANTED("lost-end-not-healed")) return why;
  handover.log.reset();
  RETURN_IF_ERROR(RemoveLog(context_.env, options_.paths));
  ASSIGN_OR_RETURN(handover.log, OpenLog());
  RETURN_IF_ERROR(handover.log->StartAt(saved.at));
  handover.at_log_end = false;
  context_.events.Add(EventNumber::kGapHealed, Severity::kWarning, options_.name,
                      fmt::format("the log of {} on {} has lost its end, so a new one begins at {} "
                                  "and what differs is logged: {}",
                                  options_.name, context_.server, base::ToString(saved.at.position),
                                  why.message()));
  return {};
}

base::Status ActiveCopy::RollForward(log::LogStore& log) {
  if (PLANTED("not-rolled-forward")) return {};
  ASSIGN_OR_RETURN(const server::RollForward done,
                   RollForwardAtMount(context_.env, Database(), log));
  if (done.records > 0) {
    context_.events.Add(
        EventNumber::kRolledForward, Severity::kWarning, options_.name,
        fmt::format("database {} was behind its own log after a power cut: replayed {} records, up "
                    "to {}",
                    options_.name, done.records, base::ToString(log.end().position)));
  } else if (!done.refused.empty()) {
    context_.events.Add(
        EventNumber::kGapHealed, Severity::kWarning, options_.name,
        fmt::format("database {} does not continue its log after a restart of the machine and was "
                    "not replayed, so it stays as it is and what differs is logged: {}",
                    options_.name, done.refused));
  }
  return {};
}

base::Result<base::Term> ActiveCopy::TakeTerm(const std::shared_ptr<log::LogStore>& log) {
  ASSIGN_OR_RETURN(const cluster::DatabaseRecord record,
                   context_.registry.TakeTerm(
                       {options_.name, options_.id, context_.server, log->end().position}));
  base::MutexLock lock(mutex_);
  mount_ = {NextMountNumber(), record.term, log};
  // What a copy has is not known for certain before it says so; its hold begins at what it had at
  // least.
  const uint64_t first = log->first_seq().value;
  for (const auto& [peer, incarnation] : peers_) {
    const uint64_t known = progress_[peer].durable.seq.value;
    if (known > 0 && known + 1 < first) {  // what it needs is gone
      stragglers_.try_emplace(peer, Straggler{fmt::format("it has everything up to {}, and log on "
                                                          "{} begins at {}",
                                                          known, context_.server, first),
                                              context_.env.WallNow()});
      continue;
    }
    const base::Seq from(std::max(known, first > 0 ? first - 1 : 0));
    log->SetHold(ship::LogSource::HoldFor(peer, {record.term, from}));
  }
  return record.term;
}

base::Status ActiveCopy::OpenCapture(log::LogStore& log, base::Term term, bool at_log_end) {
  capture::Options options;
  options.path = options_.path;
  options.database = options_.id;
  options.term = term;
  options.checkpoint_path = options_.paths.checkpoint;
  options.set_wal_mode = options_.set_wal;
  options.at_log_end = at_log_end;
  ASSIGN_OR_RETURN(capture_, capture::Capture::Open(context_.env, options, log));
  return {};
}

base::Status ActiveCopy::SaveMark() {
  const MountedDatabase database = Database();
  ASSIGN_OR_RETURN(const env::FileStat about, context_.env.Stat(database.path));
  mark_has_peers_ = HasPeers();
  return SaveMountMark(
      context_.env, options_.paths,
      {database.path, database.boot_id, std::to_string(about.inode), mark_has_peers_});
}

base::Status ActiveCopy::TryMount() {
  SetState(State::kMounting);
  CloseMount();
  RETURN_IF_ERROR(CheckNotPromised());
  ASSIGN_OR_RETURN(Handover handover, PrepareMount());
  RETURN_IF_ERROR(AskPreMount(handover.log->end().position));
  const std::string reason = MountReason();
  // A failure from here on: the next attempt opens the log anew, with a term that no record has.
  ASSIGN_OR_RETURN(const base::Term term, TakeTerm(handover.log));
  move_reason_.clear();
  const bool marked = handover.lock != nullptr;
  RETURN_IF_ERROR(OpenCapture(*handover.log, term, marked && handover.at_log_end));
  // From here on a crash leaves a database that applications may have written.
  RETURN_IF_ERROR(SaveMark());
  // All that took time, perhaps frozen: nobody may write a copy that is not to be mounted any more.
  if (marked && !MayBeMounted(base::Duration(0))) {
    CloseCapture();
    RETURN_IF_ERROR(ClearMountMark(context_.env, options_.paths));
    return base::Cancelled(WhyNotMounted());
  }
  SetUnfenced(true);
  if (marked) RETURN_IF_ERROR(handover.lock->SetReadOnlyMark(false));
  handover.lock.reset();
  retry_delay_ = {};
  context_.events.Add(EventNumber::kDatabaseMounted, Severity::kInfo, options_.name,
                      fmt::format("mounted {} in term {} at {}", options_.name, term.value,
                                  base::ToString(handover.log->end().position)));
  SetState(State::kMounted);
  TellMounted(reason);
  return {};
}

// A copy that was mounted when its server failed. Applications may have gone on writing: nobody
// gets in any more, what no log has is logged in the old term, and the database is fenced. What
// cannot be told (a lost page table) stays in the file only.
base::Status ActiveCopy::Retire() {
  SetState(State::kDismounting);
  const base::Result<sqlite::DatabaseFacts> facts =
      sqlite::CheckDatabase(context_.env, options_.path, {.allow_read_only_mark = true});
  const bool is_there = facts.status().code() != base::Code::kNotFound;
  if (is_there && !facts.ok()) return facts.status();
  if (is_there) RETURN_IF_ERROR(RetireDatabase(facts->read_only_mark));
  {
    base::MutexLock lock(mutex_);
    retired_ = true;
  }
  SetState(State::kDismounted);
  return {};
}

base::Status ActiveCopy::RetireDatabase(bool marked) {
  ASSIGN_OR_RETURN(const std::shared_ptr<log::LogStore> log, OpenLog());
  const base::Position before = log->end().position;
  if (!marked && before.seq.value > 0) RETURN_IF_ERROR(RollForward(*log));
  ASSIGN_OR_RETURN(const DatabaseLock lock, LockDatabase(context_.env, options_.path,
                                                         context_.env.Now() + kStopLockWaitMax));
  base::Status salvaged = base::NotFound("it has no log here");
  if (before.seq.value > 0) salvaged = OpenCapture(*log, before.term, /*at_log_end=*/false);
  const base::Status fenced = Fence(*lock);
  RETURN_IF_ERROR(fenced);
  const base::Position after = log->end().position;
  std::string found = fmt::format("its log ends at {}", base::ToString(after));
  if (after.seq > before.seq) {
    found = fmt::format("{} records that were only in its database are in its log now, up to {}",
                        after.seq.value - before.seq.value, base::ToString(after));
  } else if (!salvaged.ok()) {
    found =
        fmt::format("what its database has beyond the log cannot be told: {}", salvaged.ToString());
  }
  context_.events.Add(EventNumber::kCopyRetired, Severity::kWarning, options_.name,
                      fmt::format("the copy of {} on {} was the active one until its server "
                                  "failed: it is fenced, and {}",
                                  options_.name, context_.server, found));
  return {};
}

}  // namespace understudy::server
