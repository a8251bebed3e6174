// SPDX-License-Identifier: Apache-2.0
// BackupJobs: the backups that run on this server, each on its own thread "bkp-<database>".
//
// A job does not depend on who asked for it: a client that goes away does not stop it, and its
// outcome is an event. One job for each database at a time; the second asker is told which one
// runs. Threading: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>

#include "backup/backup_engine.h"
#include "base/mutex.h"
#include "base/progress.h"
#include "server/context.h"
#include "server/copy_host.h"

namespace understudy::server {

class BackupJob {
 public:
  struct View {
    uint64_t change = 0;
    base::Progress progress;
    bool done = false;
    base::Status status;              // of a done one
    backup::BackupDocument document;  // of a good one
  };
  View view() const EXCLUDES_LOCK(mutex_);
  // Waits until the view changed after `change` or the limit passed.
  View WaitChange(uint64_t change, base::Duration limit) const EXCLUDES_LOCK(mutex_);

 private:
  friend class BackupJobs;
  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  View view_ GUARDED_BY(mutex_);
  bool cancel_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class BackupJobs {
 public:
  static constexpr size_t kJobsMax = 64;

  BackupJobs(const ServerContext& context, CopyHost& host) : context_(context), host_(host) {}
  ~BackupJobs() { Stop(); }
  BackupJobs(const BackupJobs&) = delete;
  BackupJobs& operator=(const BackupJobs&) = delete;

  // Checks the repository, takes the snapshot of the copy here, and starts the backup.
  base::Result<std::shared_ptr<BackupJob>> Begin(const std::string& database,
                                                 const std::string& repository)
      EXCLUDES_LOCK(mutex_);
  // Cancels all and joins their threads.
  void Stop() EXCLUDES_LOCK(mutex_);

 private:
  base::Result<std::unique_ptr<backup::SnapshotSource>> OpenSnapshot(const std::string& database);
  void Run(BackupJob& job, const backup::Repository& repository, backup::SnapshotSource& source);
  void RemoveDone() EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  CopyHost& host_;
  base::Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<BackupJob>> jobs_ GUARDED_BY(mutex_);
};

}  // namespace understudy::server
