// SPDX-License-Identifier: Apache-2.0
// ArchiveWatch: archives the databases that are set to it (DatabaseRecord::archive_interval), where
// this server's copy is the one that BackupSourcePolicy chooses: what has changed since the last
// archived state goes to backup.repository, at each interval
// (docs/design/0018-continuous-archive.md).
//
// The repository says how far the archive is, so nothing is remembered here that a restart or a
// move could lose, and two servers that both take themselves for the source do no harm. Where a
// backup is needed to go on from, it begins one.
// Threading: thread-safe; its work is done on its thread "archive", one database after another.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "backup/archive_writer.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "server/admin.h"
#include "server/backup_jobs.h"
#include "server/context.h"
#include "server/copy_host.h"
#include "server/group_cache.h"

namespace understudy::server {

class ArchiveWatch {
 public:
  struct Parts {
    CopyHost& host;
    const GroupCache& cache;
    Admin& admin;
    BackupJobs& backups;
  };
  ArchiveWatch(const ServerContext& context, const Parts& parts);
  ~ArchiveWatch();  // as Stop
  ArchiveWatch(const ArchiveWatch&) = delete;
  ArchiveWatch& operator=(const ArchiveWatch&) = delete;
  void Stop();

 private:
  struct Entry {
    base::SteadyTime next{};
    base::SteadyTime choose{};       // when the source is chosen again
    base::SteadyTime backup_next{};  // no backup is begun before
    bool ours = false;
    bool asked_backup = false;  // since the last state that was archived
    std::string failure;        // that was told
    std::string path;
    std::unique_ptr<backup::Repository> repository;
    std::unique_ptr<backup::ArchiveWriter> writer;
  };

  void Run();
  void Look();
  bool IsDue(const cluster::DatabaseRecord& record, Entry& entry);
  base::Status Open(const std::string& database, Entry& entry);
  base::Status Archive(const cluster::DatabaseRecord& record, Entry& entry);
  void BeginBackup(const cluster::DatabaseRecord& record, const std::string& why, Entry& entry);
  void Tell(const std::string& database, const base::Status& status, Entry& entry);

  const ServerContext context_;
  const Parts parts_;

  // Used by the thread only.
  backup::InlineExecutor executor_;
  std::map<std::string, Entry> entries_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
