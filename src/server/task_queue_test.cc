// SPDX-License-Identifier: Apache-2.0
#include "server/task_queue.h"

#include <gtest/gtest.h>

#include <thread>

#include "rpc/signal.h"

namespace understudy::server {
namespace {

constexpr std::chrono::seconds kLimit{20};

TEST(TaskQueue, ACallGetsTheComponentsAnswer) {
  rpc::Signal signal;
  TaskQueue<int> queue([&] { signal.Notify(); });
  int component = 41;
  std::thread owner([&] {
    signal.WaitFor(0, kLimit);
    queue.RunAll(&component);
  });
  const auto answer =
      queue.Call<int>([](int& value) -> base::Result<int> { return ++value; }, kLimit);
  owner.join();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, 42);
}

TEST(TaskQueue, WithoutAComponentACallIsUnavailable) {
  rpc::Signal signal;
  TaskQueue<int> queue([&] { signal.Notify(); });
  std::thread owner([&] {
    signal.WaitFor(0, kLimit);
    queue.Close();
  });
  const auto answer =
      queue.Call<int>([](int& value) -> base::Result<int> { return value; }, kLimit);
  owner.join();
  EXPECT_EQ(answer.status().code(), base::Code::kUnavailable);
}

TEST(TaskQueue, ALateAnswerIsDroppedAndAClosedQueueRefuses) {
  TaskQueue<int> queue([] {});
  const auto call = [&] {
    return queue.Call<int>([](int& value) -> base::Result<int> { return value; },
                           std::chrono::milliseconds(1));
  };
  EXPECT_EQ(call().status().code(), base::Code::kTimedOut);
  int component = 1;
  queue.RunAll(&component);
  queue.Close();
  EXPECT_EQ(call().status().code(), base::Code::kBusy);
}

TEST(TaskQueue, TheQueueHasAnEnd) {
  TaskQueue<int> queue([] {});
  size_t posted = 0;
  while (queue.Post([](int*) {})) ASSERT_LE(++posted, TaskQueue<int>::kTasksMax);
  EXPECT_EQ(posted, TaskQueue<int>::kTasksMax);
}

}  // namespace
}  // namespace understudy::server
