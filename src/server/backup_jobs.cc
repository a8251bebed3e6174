// SPDX-License-Identifier: Apache-2.0
#include "server/backup_jobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hex.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "server/backup_journal.h"
#include "server/exposed_snapshot.h"
#include "server/recoveries.h"
#include "server/restore_turns.h"

namespace understudy::server {
namespace {

constexpr base::Duration kLeaseLook = std::chrono::seconds(1);

}  // namespace

BackupJobs::BackupJobs(const ServerContext& context, CopyHost& host, const GroupCache& cache)
    : context_(context),
      host_(host),
      cache_(cache),
      announced_(context),
      instance_(fmt::format("{:016x}{:016x}", context.env.Random(), context.env.Random())) {
  leases_ = base::Thread([this] { RunLeases(); });
}

void BackupJobs::RunLeases() {
  base::NameThisThread("bkp-leases");
  while (true) {
    std::vector<std::shared_ptr<BackupSession>> sessions;
    {
      base::MutexLock lock(mutex_);
      if (!stopped_) changed_.WaitFor(mutex_, kLeaseLook);
      if (stopped_) return;
      for (const auto& job : jobs_) sessions.push_back(job->session);
    }
    announced_.Expire();
    for (const auto& session : sessions) {
      session->Renew();
    }
    RemoveEnded();
  }
}

void BackupJobs::RemoveEnded() {
  std::vector<std::unique_ptr<Job>> gone;
  {
    const base::SteadyTime now = context_.env.Now();
    base::MutexLock lock(mutex_);
    for (const auto& job : jobs_) {
      if (job->ended == base::SteadyTime{} && job->session->view().ended) job->ended = now;
    }
    const auto kept = std::stable_partition(jobs_.begin(), jobs_.end(), [&](const auto& job) {
      return job->ended == base::SteadyTime{} || now - job->ended < kEndedKept;
    });
    std::move(kept, jobs_.end(), std::back_inserter(gone));
    jobs_.erase(kept, jobs_.end());
  }
  for (const auto& job : gone) job->thread.Join();
}

base::Result<std::shared_ptr<BackupSession>> BackupJobs::Begin(BackupSession::Options options) {
  if (options.id.empty()) {
    options.id = backup::MakeBackupId(context_.env.WallNow(), options.type, context_.env.Random());
  }
  const bool journalled = !options.repository.empty() && options.faults.empty();
  if (journalled) {
    const base::Status saved = SaveBackup(context_.env, host_.data_dir(), {options, 1});
    // It would not be begun again after a restart; that is no reason to take none.
    if (!saved.ok()) {
      base::Diag(base::DiagLevel::kWarning, "backup", "no journal", {{"why", saved.ToString()}});
    }
  }
  base::MutexLock lock(mutex_);
  if (stopped_) return base::Cancelled("this server is stopping");
  size_t running = 0;
  for (const auto& job : jobs_) {
    if (job->session->view().ended) continue;
    ++running;
    if (job->session->options().id == options.id) return job->session;
  }
  if (running >= kJobsMax) {
    return base::Busy(fmt::format("{} backups run on server {} already", running, context_.server));
  }
  auto job = std::make_unique<Job>();
  job->session = std::make_shared<BackupSession>(context_, host_, cache_, std::move(options));
  const std::shared_ptr<BackupSession> session = job->session;
  job->thread = base::Thread([this, session, journalled] {
    base::NameThisThread("bkp-" + session->options().database);
    session->Run();
    const base::Code code = session->view().status.code();
    bool stopped = false;
    {
      base::MutexLock guard(mutex_);
      stopped = stopped_;
      if (auto last = session->writer().last) last_[session->options().database] = *last;
    }
    const bool cut_off = stopped && code == base::Code::kCancelled;
    if (journalled && !cut_off) {
      ForgetBackup(context_.env, host_.data_dir(), session->options().id);
    }
  });
  jobs_.push_back(std::move(job));
  return session;
}

base::Result<std::shared_ptr<BackupSession>> BackupJobs::Find(const std::string& id) {
  base::MutexLock lock(mutex_);
  const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) {
    return job->session->options().id == id;
  });
  if (found != jobs_.end()) return (*found)->session;
  return base::NotFound(fmt::format(
      "server {} has no backup session {}: it was never begun here, or ended more than {} min ago",
      context_.server, id, kEndedKept / std::chrono::minutes(1)));
}

void BackupJobs::Resume() {
  RemoveAllExposed(context_.env, host_.data_dir());
  RemoveRestored(context_.env, host_.data_dir());
  RemoveUnfinishedRecoveries(context_.env, host_.data_dir());
  for (JournalledBackup& found : LoadBackups(context_.env, host_.data_dir())) {
    const std::string id = found.options.id;
    const std::string database = found.options.database;
    if (++found.attempt > JournalledBackup::kAttemptsMax) {
      ForgetBackup(context_.env, host_.data_dir(), id);
      context_.events.Add(cluster::EventNumber::kBackupFailed, cluster::Severity::kError, database,
                          fmt::format("backup {} of {} is not begun again: this server has stopped "
                                      "{} times while it ran",
                                      id, database, JournalledBackup::kAttemptsMax));
      continue;
    }
    found.options.resumed = true;
    const base::Result<std::shared_ptr<BackupSession>> begun = Begin(found.options);
    if (!begun.ok()) continue;
    SaveBackup(context_.env, host_.data_dir(), found).IgnoreError();  // only the count is lost
    context_.events.Add(cluster::EventNumber::kBackupStarted, cluster::Severity::kInfo, database,
                        fmt::format("backup {} of {} is begun again after a restart of server {} "
                                    "(attempt {})",
                                    id, database, context_.server, found.attempt));
  }
}

backup::Writer::View BackupJobs::WriterOf(const std::string& database) const {
  base::MutexLock lock(mutex_);
  backup::Writer::View view;
  for (const auto& job : jobs_) {
    const bool waits = !job->session->view().waiting_for.empty();
    if (job->session->options().database != database || waits) continue;
    const backup::Writer::View running = job->session->writer();
    if (running.session) view = running;
  }
  if (const auto last = last_.find(database); last != last_.end()) {
    view.last = last->second;
    if (!view.session && last->second.failure) view.last_error = last->second.failure->code;
  }
  return view;
}

size_t BackupJobs::running() const {
  base::MutexLock lock(mutex_);
  return static_cast<size_t>(std::count_if(jobs_.begin(), jobs_.end(), [](const auto& job) {
    const BackupSession::View view = job->session->view();
    return !view.ended && view.waiting_for.empty();
  }));
}

void BackupJobs::Stop() {
  std::vector<std::unique_ptr<Job>> jobs;
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    jobs.swap(jobs_);
    changed_.NotifyAll();
  }
  for (const auto& job : jobs) job->session->Cancel();
  for (const auto& job : jobs) job->thread.Join();
  leases_.Join();
}

}  // namespace understudy::server
