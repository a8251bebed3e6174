// SPDX-License-Identifier: Apache-2.0
#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace understudy::base {
namespace {

constexpr std::chrono::milliseconds kNoWait(0);
constexpr std::chrono::seconds kLongWait(30);  // never reached when the code is right

TEST(BoundedQueue, IsFirstInFirstOut) {
  BoundedQueue<int> queue(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.TryPush(int{i}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.Pop(kNoWait), i);
  EXPECT_EQ(queue.Pop(kNoWait), std::nullopt);
}

TEST(BoundedQueue, RefusesBeyondItsCapacityAndLeavesTheValueAlone) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  auto value = std::make_unique<int>(2);
  EXPECT_FALSE(queue.TryPush(std::move(value)));
  EXPECT_FALSE(queue.Push(std::move(value), kNoWait));
  EXPECT_NE(value, nullptr);
  EXPECT_EQ(queue.size(), 1u);
}

TEST(BoundedQueue, ClosedItRefusesPushesAndDrains) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  queue.Close();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_FALSE(queue.Push(2, kLongWait));
  EXPECT_EQ(queue.Pop(kLongWait), 1);
  EXPECT_EQ(queue.Pop(kLongWait), std::nullopt);
}

TEST(BoundedQueue, CloseWakesThoseWhoWait) {
  BoundedQueue<int> empty(1);
  BoundedQueue<int> full(1);
  EXPECT_TRUE(full.TryPush(1));
  const auto begin = std::chrono::steady_clock::now();
  std::jthread popper([&] { EXPECT_EQ(empty.Pop(kLongWait), std::nullopt); });
  std::jthread pusher([&] { EXPECT_FALSE(full.Push(2, kLongWait)); });
  empty.Close();
  full.Close();
  popper.join();
  pusher.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kLongWait);
}

TEST(BoundedQueue, ManyThreadsLoseNothingAndDuplicateNothing) {
  constexpr int kThreads = 4;
  constexpr int kPerThread = 5000;
  BoundedQueue<int> queue(7);
  std::vector<int> seen(kThreads * kPerThread, 0);
  base::Mutex mutex;
  {
    std::vector<std::jthread> poppers;
    for (int t = 0; t < kThreads; ++t) {
      poppers.emplace_back([&] {
        while (const auto value = queue.Pop(kLongWait)) {
          MutexLock lock(mutex);
          ++seen[static_cast<size_t>(*value)];
        }
      });
    }
    {
      std::vector<std::jthread> pushers;
      for (int t = 0; t < kThreads; ++t) {
        pushers.emplace_back([&queue, t] {
          for (int i = 0; i < kPerThread; ++i) {
            ASSERT_TRUE(queue.Push(t * kPerThread + i, kLongWait));
          }
        });
      }
    }
    queue.Close();
  }
  for (const int count : seen) EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace understudy::base
