// SPDX-License-Identifier: Apache-2.0
#include "server/schedule_watch.h"

#include <fmt/format.h>

#include "backup/executor.h"
#include "backup/repository.h"
#include "backup/verify.h"
#include "base/first_line.h"
#include "base/thread_name.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::RunRecord;
using cluster::RunState;
using cluster::Severity;

constexpr base::Duration kLookInterval = std::chrono::seconds(1);
// All servers with a copy are asked to choose the source.
constexpr base::Duration kChooseInterval = std::chrono::seconds(10);
// The daemon that was restarted in the middle of a backup goes on with it.
constexpr base::Duration kAdoptGrace = std::chrono::seconds(10);
constexpr base::Duration kTurnWait = std::chrono::hours(1);  // among the backups of a database
constexpr base::Duration kLateAfter = std::chrono::minutes(10);

base::Duration Between(base::WallTime from, base::WallTime to) {
  return std::chrono::milliseconds(to.unix_ms - from.unix_ms);
}

std::optional<backup::BackupType> TypeOf(cluster::Chore chore) {
  if (!cluster::IsBackup(chore)) return std::nullopt;
  return backup::BackupTypeFromName(cluster::ChoreName(chore));
}

}  // namespace

ScheduleWatch::ScheduleWatch(const ServerContext& context, const Parts& parts)
    : context_(context), parts_(parts), plans_(context.registry.coordinator()) {
  thread_ = base::Thread([this] { Run(); });
  chores_ = base::Thread([this] { RunChores(); });
}

ScheduleWatch::~ScheduleWatch() { Stop(); }

void ScheduleWatch::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
  if (chores_.joinable()) chores_.Join();
}

bool ScheduleWatch::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void ScheduleWatch::Run() {
  base::NameThisThread("schedule");
  while (true) {
    FollowBackups();
    FollowChore();
    WriteEnds();
    Look();
    base::MutexLock lock(mutex_);
    if (!stop_) changed_.WaitFor(mutex_, kLookInterval);
    if (stop_) return;
  }
}

void ScheduleWatch::RunChores() {
  base::NameThisThread("chores");
  while (true) {
    Chore chore;
    {
      base::MutexLock lock(mutex_);
      while (!stop_ && (!chore_ || chore_->outcome)) changed_.WaitFor(mutex_, kLookInterval);
      if (stop_) return;
      chore = *chore_;
    }
    Outcome outcome = DoChore(chore);
    base::MutexLock lock(mutex_);
    chore_->outcome = std::move(outcome);
    changed_.NotifyAll();
  }
}

void ScheduleWatch::Look() {
  const std::shared_ptr<const web::GroupView> group = parts_.cache.Get();
  if (group == nullptr) return;
  const std::map<std::string, std::string> instances = cluster::InstancesOf(group->servers);
  const base::WallTime now = context_.env.WallNow();
  for (const cluster::ScheduleRecord& schedule : group->plans.schedules) {
    for (const cluster::DatabaseRecord& database : group->databases) {
      if (!schedule.Covers(database.name)) continue;
      if (database.FindCopy(context_.server) == nullptr || stopping()) continue;
      const RunRecord* const last = group->plans.FindRun(schedule.name, database.name);
      const auto next = cluster::NextRunOf(schedule, database.name, last, instances);
      if (next && next->begin <= now) LookAt({schedule, database, last, *next});
    }
  }
}

void ScheduleWatch::LookAt(const Due& due) {
  const Key key(due.schedule.name, due.database.name);
  // What the cache has of a run that is ours may be old.
  if (sessions_.contains(key) || ended_.contains(key)) return;
  {
    base::MutexLock lock(mutex_);
    if (!cluster::IsBackup(due.schedule.chore) && chore_) return;  // one after the other
  }
  if (Adopt(due) || LeaveToOthers(due)) return;
  if (!IsOurs(due)) return TellLate(due, "no server has begun it");
  const base::Result<bool> claimed = Claim(due);
  if (!claimed.ok()) return TellLate(due, claimed.status().message());
  if (*claimed) Begin(due);
}

// A run that this daemon began before it was restarted, and has taken up again.
bool ScheduleWatch::Adopt(const Due& due) {
  if (due.last == nullptr || due.last->state != RunState::kRunning ||
      due.last->server != context_.server || due.last->result.empty() ||
      !parts_.backups.Find(due.last->result).ok()) {
    return false;
  }
  RunRecord run = *due.last;
  run.instance = parts_.instance;
  const base::Result<bool> put = plans_.PutRun(run);
  if (put.ok() && *put) sessions_[{run.schedule, run.database}] = run.result;
  return true;
}

// For a while: a run whose daemon is gone is left to it.
bool ScheduleWatch::LeaveToOthers(const Due& due) {
  const Key key(due.schedule.name, due.database.name);
  if (due.last == nullptr || due.last->state != RunState::kRunning) {
    interrupted_.erase(key);
    return false;
  }
  if (due.last->server == context_.server) return false;
  const base::SteadyTime now = context_.env.Now();
  const auto [since, first] = interrupted_.try_emplace(key, now);
  return now - since->second < kAdoptGrace;
}

bool ScheduleWatch::IsOurs(const Due& due) {
  Choice& choice = choices_[{due.database.name, due.schedule.from}];
  const base::SteadyTime now = context_.env.Now();
  if (now < choice.until) return choice.ours;
  const base::Result<bool> ours = parts_.admin.IsBackupSource(due.database, due.schedule.from);
  choice = {now + kChooseInterval, ours.ok() && *ours};
  return choice.ours;
}

// By the active copy's server: one of them is enough.
void ScheduleWatch::TellLate(const Due& due, const std::string& why) {
  const base::WallTime now = context_.env.WallNow();
  if (due.database.active != context_.server || Between(due.next.begin, now) < kLateAfter) return;
  base::WallTime& told = told_late_[{due.schedule.name, due.database.name}];
  if (told == due.next.due) return;
  told = due.next.due;
  context_.events.Add(EventNumber::kScheduleLate, Severity::kWarning, due.database.name,
                      fmt::format("schedule {} ({}) of {} was due at {}, and {}", due.schedule.name,
                                  cluster::ChoreName(due.schedule.chore), due.database.name,
                                  base::ToRfc3339(due.next.due), base::FirstLine(why)));
}

base::Result<bool> ScheduleWatch::Claim(const Due& due) {
  RunRecord run;
  if (due.last != nullptr) run = *due.last;
  run.schedule = due.schedule.name;
  run.database = due.database.name;
  run.state = RunState::kRunning;
  run.due = due.next.due;
  run.begun = context_.env.WallNow();
  run.ended = {};
  run.server = context_.server;
  run.instance = parts_.instance;
  run.attempts = due.next.attempt;
  run.result.clear();
  run.message.clear();
  return plans_.PutRun(run);
}

void ScheduleWatch::Begin(const Due& due) {
  const base::Duration late = Between(due.next.begin, context_.env.WallNow());
  if (late > kLateAfter && due.next.attempt == 1) {
    context_.events.Add(
        EventNumber::kScheduleMadeUp, Severity::kInfo, due.database.name,
        fmt::format("schedule {} ({}) of {} was due at {}, and is begun {} min late",
                    due.schedule.name, cluster::ChoreName(due.schedule.chore), due.database.name,
                    base::ToRfc3339(due.next.due), late / std::chrono::minutes(1)));
  }
  if (cluster::IsBackup(due.schedule.chore)) return BeginBackup(due);
  base::MutexLock lock(mutex_);
  chore_ = Chore{{due.schedule.name, due.database.name}, due.schedule, std::nullopt};
  changed_.NotifyAll();
}

void ScheduleWatch::BeginBackup(const Due& due) {
  const Key key(due.schedule.name, due.database.name);
  const base::Result<std::string> repository = parts_.admin.RepositoryPath(due.schedule.repository);
  if (!repository.ok()) return End(key, {repository.status(), ""});
  BackupSession::Options options;
  options.database = due.database.name;
  options.requester = "schedule " + due.schedule.name;
  options.type = *TypeOf(due.schedule.chore);
  options.or_full = true;
  options.repository = *repository;
  options.wait = kTurnWait;
  const auto begun = parts_.backups.Begin(std::move(options));
  if (!begun.ok()) return End(key, {begun.status(), ""});
  const std::string id = (*begun)->options().id;
  sessions_[key] = id;
  // So that it is found again after a restart; without it another attempt is made then.
  plans_.UpdateRun(key.first, key.second, [&](RunRecord& run) { run.result = id; })
      .status()
      .IgnoreError();
}

void ScheduleWatch::FollowBackups() {
  std::map<Key, std::string> still;
  for (const auto& [key, id] : sessions_) {
    const auto session = parts_.backups.Find(id);
    if (!session.ok()) {
      End(key, {session.status(), id});
      continue;
    }
    const BackupSession::View view = (*session)->view();
    if (view.ended) {
      End(key, {view.status, id});
    } else {
      still[key] = id;
    }
  }
  sessions_ = std::move(still);
}

void ScheduleWatch::FollowChore() {
  std::optional<Chore> done;
  {
    base::MutexLock lock(mutex_);
    if (chore_ && chore_->outcome) std::swap(done, chore_);
  }
  if (done) End(done->key, *done->outcome);
}

ScheduleWatch::Outcome ScheduleWatch::DoChore(const Chore& chore) {
  const base::ProgressSink until_stopped = [this](const base::Progress&) { return !stopping(); };
  const std::string& repository = chore.schedule.repository;
  const std::string& database = chore.key.second;
  switch (chore.schedule.chore) {
    case cluster::Chore::kDrill: {
      const auto drill = parts_.admin.Drill(repository, database, "", until_stopped);
      if (!drill.ok()) return {drill.status(), ""};
      return {drill->good ? base::Status() : base::Corruption(drill->message), drill->backup};
    }
    case cluster::Chore::kPrune: {
      const auto plan = parts_.admin.Prune(repository, database, {});
      if (!plan.ok()) return {plan.status(), ""};
      const auto gone =
          std::count_if(plan->begin(), plan->end(), [](const auto& d) { return !d.keep; });
      return {{}, fmt::format("{} of {} removed", gone, plan->size())};
    }
    default: return Verify(chore);
  }
}

ScheduleWatch::Outcome ScheduleWatch::Verify(const Chore& chore) {
  const std::string& database = chore.key.second;
  const auto location = parts_.admin.RepositoryPath(chore.schedule.repository);
  if (!location.ok()) return {location.status(), ""};
  const auto repository = backup::Repository::Open(context_.env, *location);
  if (!repository.ok()) return {repository.status(), ""};
  (*repository)->SetHostLocks(parts_.admin.HostLocks());
  const auto newest = (*repository)->NewestGood(database);
  if (!newest.ok()) return {newest.status(), ""};
  backup::ThreadExecutor executor;
  backup::VerifyOptions options;
  options.progress = [this](const base::Progress&) { return !stopping(); };
  return {backup::VerifyBackup(context_.env, executor, **repository, database, newest->id, options)
              .status,
          newest->id};
}

void ScheduleWatch::End(const Key& key, Outcome outcome) {
  if (!outcome.status.ok() && outcome.status.code() != base::Code::kCancelled) {
    context_.events.Add(EventNumber::kScheduleFailed, Severity::kWarning, key.second,
                        fmt::format("schedule {} of {} has failed on {}: {}", key.first, key.second,
                                    context_.server, outcome.status.message()));
  }
  ended_[key] = std::move(outcome);
}

// What the coordinator does not take now it gets at the next look.
void ScheduleWatch::WriteEnds() {
  for (auto each = ended_.begin(); each != ended_.end();) {
    const auto& [key, outcome] = *each;
    if (outcome.status.code() == base::Code::kCancelled && stopping()) {
      each = ended_.erase(each);  // the next run of this daemon goes on
      continue;
    }
    const auto written = plans_.UpdateRun(key.first, key.second, [&](RunRecord& run) {
      // Somebody else has begun it anew meanwhile.
      if (run.server != context_.server || run.instance != parts_.instance) return;
      run.state = outcome.status.ok() ? RunState::kDone : RunState::kFailed;
      run.ended = context_.env.WallNow();
      run.result = outcome.result;
      run.message = outcome.status.message();
    });
    each = written.ok() ? ended_.erase(each) : std::next(each);
  }
}

}  // namespace understudy::server
