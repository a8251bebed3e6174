// SPDX-License-Identifier: Apache-2.0
// BackupRun: what backups of all types have in common, from the first check to the document; how
// the data file comes about is a subclass's (FullBackup, IncrementBackup). Internal to the engine,
// see backup_engine.h for what is promised. Threading: thread-compatible, used once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backup/backup_engine.h"
#include "backup/ltx_format.h"

namespace understudy::backup {

class BackupRun {
 public:
  BackupRun(env::Env& env, Executor& executor, const Repository& repository, SnapshotSource& source,
            const BackupOptions& options);
  virtual ~BackupRun() = default;
  BackupRun(const BackupRun&) = delete;
  BackupRun& operator=(const BackupRun&) = delete;

  BackupResult Run();

 protected:
  // Uploads the data and reads it back, or finds it stored already; sets file_, hashes_ and phase_.
  virtual base::Status Store() = 0;

  // Sets upload_: of file_.
  base::Status BeginUpload();
  // Predicts size and time from a sample of `pages` pages, of which `nth` gives the numbers.
  base::Status Predict(uint32_t pages, const std::function<base::PageNo(uint32_t)>& nth);
  // A file of this name, which no listed backup can use, may be replaced, unless a document that
  // cannot be read may be about it.
  base::Status Replace(const std::string& path);

  env::Env& env_;
  Executor& executor_;
  const Repository& repository_;
  SnapshotSource& source_;
  // The caller's, with a progress that renews the lock as well.
  const BackupOptions options_;
  const log::LogEnd at_;

  Phase phase_ = Phase::kIdentify;
  BackupDocument document_;
  BackupList list_;               // of the backups that there were before
  BackupFile file_;               // no path: nothing has changed, and there is no file
  std::vector<uint64_t> hashes_;  // of all pages; what is stored was read back and gives them
  bool reused_ = false;           // the data file is there already
  std::unique_ptr<store::Upload> upload_;
  bool replace_ = false;  // a file of that name is there, damaged or of no backup

 private:
  base::Status RunSteps();
  base::Status Describe();
  base::Status CheckHistory() const;
  base::Status CheckLaterIncrements();
  BackupOptions WithRenewals(const BackupOptions& options);
  base::Status Publish();
  void CleanUp();

  base::SteadyTime began_;
  std::unique_ptr<RepositoryLock> lock_;
};

}  // namespace understudy::backup
