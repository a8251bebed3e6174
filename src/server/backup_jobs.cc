// SPDX-License-Identifier: Apache-2.0
#include "server/backup_jobs.h"

#include <fmt/format.h>

#include <vector>

#include "backup/repository.h"
#include "base/thread_name.h"
#include "rpc/protocol.h"
#include "server/snapshot_adaptor.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

// Opening a snapshot waits for the copy's thread, and on the active for a moment without writers.
constexpr base::Duration kSnapshotLimit = std::chrono::seconds(30);

}  // namespace

BackupJob::View BackupJob::view() const {
  base::MutexLock lock(mutex_);
  return view_;
}

BackupJob::View BackupJob::WaitChange(uint64_t change, base::Duration limit) const {
  base::MutexLock lock(mutex_);
  if (view_.change == change) changed_.WaitFor(mutex_, limit);
  return view_;
}

base::Result<std::unique_ptr<backup::SnapshotSource>> BackupJobs::OpenSnapshot(
    const std::string& database) {
  using Source = std::unique_ptr<backup::SnapshotSource>;
  backup::SnapshotOrigin origin;
  origin.database_name = database;
  origin.server = context_.server;
  if (const std::shared_ptr<PassiveCopy> passive = host_.FindPassive(database)) {
    origin.database = passive->id();
    origin.role = "passive";
    return passive->tasks().Call<Source>(
        [origin](replay::Replayer& replayer) -> base::Result<Source> {
          ASSIGN_OR_RETURN(replay::Replayer::Snapshot snapshot, replayer.OpenSnapshot());
          return Source(
              std::make_unique<ReaderSnapshot>(origin, std::move(snapshot.reader), snapshot.at));
        },
        kSnapshotLimit);
  }
  if (const std::shared_ptr<ActiveCopy> active = host_.FindActive(database)) {
    origin.database = active->id();
    origin.role = "active";
    return active->tasks().Call<Source>(
        [origin](capture::Capture& capture) -> base::Result<Source> {
          ASSIGN_OR_RETURN(capture::Capture::Snapshot snapshot, capture.OpenSnapshot());
          return Source(
              std::make_unique<ReaderSnapshot>(origin, std::move(snapshot.reader), snapshot.at));
        },
        kSnapshotLimit);
  }
  return base::NotFound(fmt::format("server {} has no copy of {}", context_.server, database));
}

void BackupJobs::RemoveDone() {
  std::vector<std::shared_ptr<BackupJob>> done;
  {
    base::MutexLock lock(mutex_);
    for (auto at = jobs_.begin(); at != jobs_.end();) {
      const bool ended = at->second->view().done;
      if (ended) done.push_back(at->second);
      at = ended ? jobs_.erase(at) : std::next(at);
    }
  }
  for (const std::shared_ptr<BackupJob>& job : done) job->thread_.join();
}

base::Result<std::shared_ptr<BackupJob>> BackupJobs::Begin(const std::string& database,
                                                           const std::string& repository_path) {
  RemoveDone();
  const auto job = std::make_shared<BackupJob>();
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return base::Cancelled("this server is stopping");
    if (jobs_.contains(database)) {
      return base::Busy(
          fmt::format("a backup of {} is running on server {} already\nwait for it: "
                      "understudy events --follow",
                      database, context_.server));
    }
    if (jobs_.size() >= kJobsMax) {
      return base::Busy(
          fmt::format("{} backups run on server {} already", jobs_.size(), context_.server));
    }
    jobs_[database] = job;  // without a thread yet: nobody joins it before it is done
  }
  const auto give_up = [&](base::Status why) {
    base::MutexLock lock(mutex_);
    jobs_.erase(database);
    return why;
  };
  base::Result<std::unique_ptr<backup::Repository>> repository =
      backup::Repository::OpenOrCreate(context_.env, repository_path);
  if (!repository.ok()) return give_up(repository.status());
  base::Result<std::unique_ptr<backup::SnapshotSource>> source = OpenSnapshot(database);
  if (!source.ok()) return give_up(source.status());

  const std::string name = database;
  base::MutexLock lock(mutex_);  // so that nobody joins a thread that is not there yet
  if (stopped_) return base::Cancelled("this server is stopping");
  job->thread_ = std::thread([this, job = job.get(), repository = std::move(repository).value(),
                              source = std::move(source).value(), name]() mutable {
    base::NameThisThread("bkp-" + name);
    Run(*job, *repository, *source);
  });
  return job;
}

void BackupJobs::Run(BackupJob& job, const backup::Repository& repository,
                     backup::SnapshotSource& source) {
  const backup::SnapshotOrigin origin = source.origin();
  context_.events.Add(EventNumber::kBackupStarted, Severity::kInfo, origin.database_name,
                      fmt::format("full backup of {} from the {} copy on {} at {} into {}",
                                  origin.database_name, origin.role, origin.server,
                                  base::ToString(source.at().position), repository.path()));
  backup::BackupOptions options;
  options.software = fmt::format("understudy {}", rpc::kVersion);
  options.progress = [&job](const base::Progress& progress) {
    base::MutexLock lock(job.mutex_);
    job.view_.progress = progress;
    ++job.view_.change;
    job.changed_.NotifyAll();
    return !job.cancel_;
  };
  backup::ThreadExecutor executor;
  backup::BackupResult result =
      backup::RunFull(context_.env, executor, repository, source, options);
  if (result.status.ok()) {
    context_.events.Add(
        EventNumber::kBackupCompleted, Severity::kInfo, origin.database_name,
        fmt::format("backup {} of {} is complete: {} bytes stored, read back and verified",
                    result.document.id, origin.database_name, result.document.bytes_stored));
  } else {
    context_.events.Add(EventNumber::kBackupFailed, Severity::kError, origin.database_name,
                        fmt::format("the backup of {} on {} failed: {}", origin.database_name,
                                    origin.server, result.status.ToString()));
  }
  base::MutexLock lock(job.mutex_);
  job.view_.status = result.status;
  job.view_.document = std::move(result.document);
  job.view_.done = true;
  ++job.view_.change;
  job.changed_.NotifyAll();
}

void BackupJobs::Stop() {
  std::map<std::string, std::shared_ptr<BackupJob>> jobs;
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
    jobs.swap(jobs_);
  }
  for (const auto& [database, job] : jobs) {
    base::MutexLock lock(job->mutex_);
    job->cancel_ = true;
  }
  for (const auto& [database, job] : jobs) {
    if (job->thread_.joinable()) job->thread_.join();
  }
}

}  // namespace understudy::server
