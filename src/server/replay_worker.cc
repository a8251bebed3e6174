// SPDX-License-Identifier: Apache-2.0
#include "server/replay_worker.h"

#include <algorithm>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"

namespace understudy::server {
namespace {

constexpr base::Duration kWaitMax = std::chrono::seconds(1);

}  // namespace

ReplayWorker::ReplayWorker(env::Env& env, const std::string& name,
                           std::shared_ptr<rpc::Signal> progress)
    : env_(env),
      name_(name),
      progress_signal_(std::move(progress)),
      tasks_([this] { signal_.Notify(); }) {
  thread_ = base::Thread([this] { Run(); });
}

ReplayWorker::~ReplayWorker() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  signal_.Notify();
  thread_.Join();
}

void ReplayWorker::Start(const replay::Replayer::Options& options,
                         std::shared_ptr<log::LogStore> log) {
  auto job = std::make_shared<Job>(Job{options, std::move(log)});
  {
    base::MutexLock lock(mutex_);
    CHECK(job_ == nullptr && !running_);
    job_ = std::move(job);
    halt_ = false;
    state_ = {};
  }
  signal_.Notify();
}

base::Result<DatabaseLock> ReplayWorker::HandOver(base::Duration limit) {
  return tasks_.Call<DatabaseLock>([](replay::Replayer& replayer) { return replayer.HandOver(); },
                                   limit);
}

void ReplayWorker::Halt() {
  {
    base::MutexLock lock(mutex_);
    halt_ = true;
  }
  signal_.Notify();
  base::MutexLock lock(mutex_);
  while (running_ || (job_ != nullptr && !stop_)) {
    signal_.Notify();
    changed_.WaitFor(mutex_, kWaitMax);
  }
}

void ReplayWorker::SetPaused(bool paused) {
  {
    base::MutexLock lock(mutex_);
    paused_ = paused;
  }
  signal_.Notify();
}

void ReplayWorker::SetLimit(base::Seq seq) {
  {
    base::MutexLock lock(mutex_);
    if (limit_ == seq) return;
    limit_ = seq;
  }
  signal_.Notify();
}

ReplayWorker::Progress ReplayWorker::progress() const {
  base::MutexLock lock(mutex_);
  return state_;
}

bool ReplayWorker::Wanted() const {
  base::MutexLock lock(mutex_);
  return !stop_ && !halt_;
}

bool ReplayWorker::at_rest() const {
  base::MutexLock lock(mutex_);
  return paused_ && !stepping_;
}

bool ReplayWorker::BeginStep(replay::Replayer& replayer) {
  base::MutexLock lock(mutex_);
  replayer.SetLimit(limit_);
  stepping_ = !paused_;
  return stepping_;
}

void ReplayWorker::EndStep() {
  bool at_rest_now = false;
  {
    base::MutexLock lock(mutex_);
    stepping_ = false;
    at_rest_now = paused_;
  }
  if (at_rest_now) progress_signal_->Notify();
}

void ReplayWorker::Run() {
  base::NameThisThread("rep-" + name_);
  while (true) {
    const uint64_t seen = signal_.count();
    std::shared_ptr<Job> job;
    {
      base::MutexLock lock(mutex_);
      if (stop_ && job_ == nullptr) break;
      job = job_;
      running_ = job != nullptr && !halt_ && !stop_;
      if (!running_) {
        job_ = nullptr;
        changed_.NotifyAll();
      }
    }
    if (job == nullptr) {
      tasks_.RunAll(nullptr);
      signal_.WaitFor(seen, kWaitMax);
      continue;
    }
    RunJob(*job);
    job = nullptr;
    base::MutexLock lock(mutex_);
    running_ = false;
    job_ = nullptr;
    changed_.NotifyAll();
  }
  tasks_.Close();
}

void ReplayWorker::Publish(const replay::Replayer& replayer) {
  {
    base::MutexLock lock(mutex_);
    if (state_.open && state_.replayed.position == replayer.replayed().position) return;
    state_.open = true;
    state_.replayed = replayer.replayed();
  }
  progress_signal_->Notify();
}

void ReplayWorker::RunJob(const Job& job) {
  if (!Wanted()) return;
  base::Result<std::unique_ptr<replay::Replayer>> opened =
      replay::Replayer::Open(env_, job.options, *job.log);
  base::Status failure = opened.status();
  if (opened.ok()) {
    replay::Replayer& replayer = **opened;
    Publish(replayer);
    while (Wanted()) {
      const uint64_t seen = signal_.count();
      tasks_.RunAll(&replayer);
      if (!BeginStep(replayer)) {
        signal_.WaitFor(seen, kWaitMax);
        continue;
      }
      const base::SteadyTime now = env_.Now();
      base::Result<replay::Replayer::RunResult> result = replayer.RunOnce(now);
      Publish(replayer);
      EndStep();
      if (!result.ok()) {
        failure = result.status();
        break;
      }
      if (!result->worked) {
        signal_.WaitFor(
            seen, std::clamp<base::Duration>(result->next - now, base::Duration(0), kWaitMax));
      }
    }
    if (failure.ok()) {
      const base::Status saved = replayer.Checkpoint();
      if (!saved.ok() && saved.code() != base::Code::kCancelled) {  // handed over
        base::Diag(base::DiagLevel::kWarning, "replay", "no checkpoint at the end",
                   {{"database", name_}, {"why", saved.ToString()}});
      }
    }
  }
  {
    base::MutexLock lock(mutex_);
    state_.open = false;
    state_.failure = failure;
  }
  progress_signal_->Notify();
}

}  // namespace understudy::server
