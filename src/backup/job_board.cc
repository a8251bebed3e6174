// SPDX-License-Identifier: Apache-2.0
#include "backup/job_board.h"

#include <vector>

namespace understudy::backup {
namespace {

// Workers are woken by Changed; the limit only bounds the harm of a wake-up forgotten.
constexpr std::chrono::milliseconds kWaitMax{100};

}  // namespace

base::Status JobBoard::Run(Executor& executor) {
  executor.Run(std::vector<std::function<void()>>(static_cast<size_t>(executor.workers()),
                                                  [this] { Work(); }));
  base::MutexLock lock(mutex_);
  if (failure_.ok() && !Done()) return base::Internal("a job board stopped before it was done");
  return failure_;
}

void JobBoard::Work() {
  mutex_.Lock();
  while (failure_.ok() && !Done()) {
    const Job job = TakeJob();
    if (!job) {
      if (running_ == 0) break;  // nobody could make a job possible: Run reports it
      changed_.WaitFor(mutex_, kWaitMax);
      continue;
    }
    ++running_;
    mutex_.Unlock();
    base::Status status = job();
    mutex_.Lock();
    --running_;
    if (failure_.ok()) failure_ = std::move(status);
    changed_.NotifyAll();
  }
  mutex_.Unlock();
}

}  // namespace understudy::backup
