// SPDX-License-Identifier: Apache-2.0
#include "backup/executor.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/thread.h"
#include "base/thread_name.h"

namespace understudy::backup {

void InlineExecutor::Run(const std::vector<std::function<void()>>& tasks) {
  for (const auto& task : tasks) task();
}

ThreadExecutor::ThreadExecutor(int workers)
    : workers_(std::clamp(
          workers > 0 ? workers : static_cast<int>(std::thread::hardware_concurrency()) + 2, 1,
          kWorkersMax)) {}

void ThreadExecutor::Run(const std::vector<std::function<void()>>& tasks) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < tasks.size(); i = next++) tasks[i]();
  };
  const size_t threads = std::min(tasks.size(), static_cast<size_t>(workers_));
  std::vector<base::Thread> crew;
  crew.reserve(threads);
  for (size_t i = 1; i < threads; ++i) {
    crew.emplace_back([&work] {
      base::NameThisThread("backup-worker");
      work();
    });
  }
  work();  // the caller is one of the crew
  for (base::Thread& thread : crew) thread.Join();
}

}  // namespace understudy::backup
