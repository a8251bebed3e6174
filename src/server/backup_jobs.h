// SPDX-License-Identifier: Apache-2.0
// BackupJobs: the backup sessions that run on this server, each on its own thread "bkp-DATABASE",
// and what the writer of each copy here tells of them.
//
// A session does not depend on who asked for it: a client that goes away does not stop a backup
// into a repository, and its outcome is an event. One that was running when the daemon stopped or
// died is begun again when it starts (backup_journal.h). The thread "bkp-leases" says once a second
// that the sessions go on. Threading: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/thread.h"
#include "server/announced_backups.h"
#include "server/backup_session.h"

namespace understudy::server {

class BackupJobs {
 public:
  static constexpr size_t kJobsMax = 64;
  // An ended session can be asked for its end this long.
  static constexpr base::Duration kEndedKept = std::chrono::minutes(5);

  BackupJobs(const ServerContext& context, CopyHost& host, const GroupCache& cache);
  ~BackupJobs() { Stop(); }
  BackupJobs(const BackupJobs&) = delete;
  BackupJobs& operator=(const BackupJobs&) = delete;

  // Starts a session; options.id is given here when it is empty. kBusy: too many, or one of this
  // database runs here already.
  base::Result<std::shared_ptr<BackupSession>> Begin(BackupSession::Options options)
      EXCLUDES_LOCK(mutex_);
  // kNotFound: never begun here, or ended for long.
  base::Result<std::shared_ptr<BackupSession>> Find(const std::string& session)
      EXCLUDES_LOCK(mutex_);
  // Those that were running when the daemon stopped, and removes what they left.
  void Resume();
  // Cancels all and joins their threads; those with a repository go on after the next start.
  void Stop() EXCLUDES_LOCK(mutex_);

  // Of a database: the session that runs, if any, and the last one that ended.
  backup::Writer::View WriterOf(const std::string& database) const EXCLUDES_LOCK(mutex_);
  size_t running() const EXCLUDES_LOCK(mutex_);  // that do not wait for their turn
  AnnouncedBackups& announced() { return announced_; }
  // Of this run of the daemon.
  const std::string& instance() const { return instance_; }

 private:
  struct Job {
    std::shared_ptr<BackupSession> session;
    base::Thread thread;
    base::SteadyTime ended{};  // when it was first seen ended
  };

  void RemoveEnded() EXCLUDES_LOCK(mutex_);
  void RunLeases();

  const ServerContext context_;
  CopyHost& host_;
  const GroupCache& cache_;
  AnnouncedBackups announced_;
  const std::string instance_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Job>> jobs_ GUARDED_BY(mutex_);
  std::map<std::string, backup::WriterSession> last_ GUARDED_BY(mutex_);  // ended, by database
  base::Thread leases_;
};

}  // namespace understudy::server
