// SPDX-License-Identifier: Apache-2.0
// JobBoard: work made of small jobs that several workers take as soon as each can be done.
//
// A subclass decides in TakeJob what can be done next and marks it as taken; the jobs report back
// under mutex_. Because a worker never waits for something that only it could do, one worker alone
// gets everything done, in a fixed order: the same code runs on threads and in the simulator.
// Threading: mutex_ guards the subclass's state; jobs run without it.
#pragma once

#include <functional>

#include "backup/executor.h"
#include "base/mutex.h"
#include "base/status.h"

namespace understudy::backup {

class JobBoard {
 public:
  virtual ~JobBoard() = default;
  JobBoard(const JobBoard&) = delete;
  JobBoard& operator=(const JobBoard&) = delete;

  // Runs jobs until Done, or until the first failure, which is returned when no job runs any more.
  base::Status Run(Executor& executor);

 protected:
  JobBoard() = default;
  using Job = std::function<base::Status()>;

  // The most urgent job that can be done now; an empty function when there is none until a running
  // one has ended or called Changed.
  virtual Job TakeJob() REQUIRES_LOCK(mutex_) = 0;
  virtual bool Done() const REQUIRES_LOCK(mutex_) = 0;
  // Wakes workers when a job has made another one possible before its own end.
  void Changed() { changed_.NotifyAll(); }

  base::Mutex mutex_;

 private:
  void Work();

  base::CondVar changed_;
  int running_ GUARDED_BY(mutex_) = 0;
  base::Status failure_ GUARDED_BY(mutex_);
};

}  // namespace understudy::backup
