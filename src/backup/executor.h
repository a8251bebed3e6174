// SPDX-License-Identifier: Apache-2.0
// Executor: lends threads to work that can use several cores (backup, verify, restore).
//
// Components own no threads: whoever calls RunFull, VerifyBackup or Restore brings an Executor.
// InlineExecutor runs everything on the caller's thread, in order, so that tests and the simulator
// are deterministic; ThreadExecutor starts threads for one Run and joins them before Run returns.
// Threading: an Executor serves one Run at a time.
#pragma once

#include <functional>
#include <vector>

namespace understudy::backup {

class Executor {
 public:
  virtual ~Executor() = default;

  // How many tasks are worth giving to one Run; at least 1.
  virtual int workers() const = 0;
  // Runs all tasks, some of them at the same time, and returns when the last one has ended. A task
  // must not depend on another one running beside it.
  virtual void Run(const std::vector<std::function<void()>>& tasks) = 0;
};

class InlineExecutor final : public Executor {
 public:
  int workers() const override { return 1; }
  void Run(const std::vector<std::function<void()>>& tasks) override;
};

inline constexpr int kWorkersMax = 16;

class ThreadExecutor final : public Executor {
 public:
  // 0: one for each core and two more, because one may wait for a sync and one for a read.
  explicit ThreadExecutor(int workers = 0);

  int workers() const override { return workers_; }
  void Run(const std::vector<std::function<void()>>& tasks) override;

 private:
  const int workers_;
};

}  // namespace understudy::backup
