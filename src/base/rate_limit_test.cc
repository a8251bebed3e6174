// SPDX-License-Identifier: Apache-2.0
#include "base/rate_limit.h"

#include <gtest/gtest.h>

namespace understudy::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SteadyTime kStart{seconds(1000)};

TEST(RateLimit, LetsSoManyBytesThroughInASecond) {
  RateLimit limit(1000);
  SteadyTime now = kStart;
  uint64_t taken = 0;
  for (; now < kStart + seconds(10); now += milliseconds(1)) {
    if (now < limit.ReadyAt()) continue;
    limit.Take(50, now);
    taken += 50;
  }
  EXPECT_GE(taken, 9'900u);
  EXPECT_LE(taken, 10'300u);
}

TEST(RateLimit, SavesUpForAShortWhileOnly) {
  RateLimit limit(1000);
  limit.Take(1, kStart);
  const SteadyTime later = kStart + seconds(3600);
  limit.Take(200, later);
  EXPECT_EQ(limit.ReadyAt(), later + milliseconds(200) - RateLimit::kBurst);
}

TEST(RateLimit, ZeroIsNoLimitAndANewRateCountsAtOnce) {
  RateLimit limit;
  limit.Take(uint64_t{1} << 40, kStart);
  EXPECT_LE(limit.ReadyAt(), kStart);
  limit.SetRate(10);
  limit.Take(1000, kStart);
  EXPECT_GT(limit.ReadyAt(), kStart + seconds(90));
  limit.SetRate(0);
  EXPECT_LE(limit.ReadyAt(), kStart);
}

}  // namespace
}  // namespace understudy::base
