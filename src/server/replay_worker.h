// SPDX-License-Identifier: Apache-2.0
// ReplayWorker: the thread "rep-<database>" of a passive copy and the Replayer on it.
//
// Start gives it a log and lets it open the database; Halt makes it close (before a new seed, and
// at the end). A failure ends the Replayer: failure() tells, and whoever owns the copy decides
// (retry, seed anew). While paused nothing is replayed, but the database stays open and readable.
//
// Threading: thread-safe; the Replayer is used on the worker's own thread only, others go through
// tasks().
#pragma once

#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "log/log_store.h"
#include "replay/replayer.h"
#include "rpc/signal.h"
#include "server/database_lock.h"
#include "server/task_queue.h"

namespace understudy::server {

class ReplayWorker {
 public:
  // `progress` is notified when replayed() or failure() changed. `env` is borrowed.
  ReplayWorker(env::Env& env, const std::string& name, std::shared_ptr<rpc::Signal> progress);
  ~ReplayWorker();  // halts and joins
  ReplayWorker(const ReplayWorker&) = delete;
  ReplayWorker& operator=(const ReplayWorker&) = delete;

  // REQUIRES: halted.
  void Start(const replay::Replayer::Options& options, std::shared_ptr<log::LogStore> log)
      EXCLUDES_LOCK(mutex_);
  // The database, still marked and locked, for a mount; nothing more is replayed. REQUIRES:
  // started. Halt must follow. kUnavailable while the database is not open.
  base::Result<DatabaseLock> HandOver(base::Duration limit);
  // Checkpoints and closes the database; returns when the worker no longer uses the log.
  void Halt() EXCLUDES_LOCK(mutex_);
  void SetPaused(bool paused) EXCLUDES_LOCK(mutex_);
  // What is after `seq` is left alone (Replayer::SetLimit). Counts from the next step on.
  void SetLimit(base::Seq seq) EXCLUDES_LOCK(mutex_);
  // Paused, and nothing is being replayed any more; `progress` is notified when that begins.
  bool at_rest() const EXCLUDES_LOCK(mutex_);
  void LogChanged() { signal_.Notify(); }

  struct Progress {
    bool open = false;  // the database is open and can be read
    log::LogEnd replayed;
    base::Status failure;
  };
  Progress progress() const EXCLUDES_LOCK(mutex_);
  TaskQueue<replay::Replayer>& tasks() { return tasks_; }

 private:
  struct Job {
    replay::Replayer::Options options;
    std::shared_ptr<log::LogStore> log;
  };

  void Run();
  void RunJob(const Job& job);
  bool Wanted() const EXCLUDES_LOCK(mutex_);
  // False: paused. Else EndStep must follow.
  bool BeginStep(replay::Replayer& replayer) EXCLUDES_LOCK(mutex_);
  void EndStep() EXCLUDES_LOCK(mutex_);
  void Publish(const replay::Replayer& replayer) EXCLUDES_LOCK(mutex_);

  env::Env& env_;
  const std::string name_;
  const std::shared_ptr<rpc::Signal> progress_signal_;
  rpc::Signal signal_;
  TaskQueue<replay::Replayer> tasks_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool halt_ GUARDED_BY(mutex_) = false;
  bool paused_ GUARDED_BY(mutex_) = false;
  bool running_ GUARDED_BY(mutex_) = false;
  bool stepping_ GUARDED_BY(mutex_) = false;
  base::Seq limit_ GUARDED_BY(mutex_){UINT64_MAX};
  std::shared_ptr<Job> job_ GUARDED_BY(mutex_);
  Progress state_ GUARDED_BY(mutex_);

  base::Thread thread_;
};

}  // namespace understudy::server
