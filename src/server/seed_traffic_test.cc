// SPDX-License-Identifier: Apache-2.0
#include "server/seed_traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::server {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(SeedSlots, FirstComeFirstServed) {
  SeedSlots slots;
  base::SteadyTime now{seconds(100)};
  std::string why;
  EXPECT_TRUE(slots.Enter("a", "s2", 2, now, why));
  EXPECT_TRUE(slots.Enter("b", "s2", 2, now, why));
  EXPECT_TRUE(slots.Enter("a", "s2", 2, now, why)) << "it has its slot";
  EXPECT_FALSE(slots.Enter("c", "s2", 2, now, why));
  EXPECT_THAT(why, HasSubstr("0 wait before"));
  EXPECT_FALSE(slots.Enter("d", "s3", 2, now, why));
  EXPECT_THAT(why, HasSubstr("1 wait before"));
  slots.Leave("a", "s2");
  EXPECT_FALSE(slots.Enter("d", "s3", 2, now, why)) << "c is before it";
  EXPECT_TRUE(slots.Enter("c", "s2", 2, now, why));
  slots.Leave("b", "s2");
  EXPECT_TRUE(slots.Enter("d", "s3", 2, now, why));
  EXPECT_EQ(slots.seeds().size(), 2u);
}

TEST(SeedSlots, OneThatNoLongerAsksIsForgotten) {
  SeedSlots slots;
  base::SteadyTime now{seconds(100)};
  std::string why;
  EXPECT_TRUE(slots.Enter("a", "s2", 1, now, why));
  EXPECT_FALSE(slots.Enter("b", "s2", 1, now, why));
  EXPECT_FALSE(slots.Enter("c", "s2", 1, now, why));
  slots.Leave("a", "s2");
  now += SeedSlots::kForgottenAfter + seconds(1);
  EXPECT_TRUE(slots.Enter("c", "s2", 1, now, why)) << "b went away";
  now += seconds(1000);
  EXPECT_FALSE(slots.Enter("d", "s2", 1, now, why)) << "a running one is not forgotten";
  EXPECT_TRUE(slots.Enter("d", "s2", 2, now, why)) << "the limit may be raised";
}

}  // namespace
}  // namespace understudy::server
