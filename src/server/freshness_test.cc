// SPDX-License-Identifier: Apache-2.0
#include "server/freshness.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "testing/sim_clock.h"

namespace understudy::server {
namespace {

using base::Seq;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FreshnessTest : public ::testing::Test {
 protected:
  void Hear(uint64_t end) { freshness_.Heard(clock_.Now(), Seq(end)); }
  std::optional<base::Duration> Age(uint64_t seq) { return freshness_.Age(clock_.Now(), Seq(seq)); }

  test::SimClock clock_;
  Freshness freshness_{seconds(4)};
};

TEST_F(FreshnessTest, NothingIsKnownBeforeAnythingWasHeard) {
  EXPECT_EQ(Age(5), std::nullopt);
  Hear(7);
  EXPECT_EQ(Age(5), std::nullopt);
  EXPECT_EQ(Age(7), seconds(0));
  clock_.Advance(seconds(3));
  EXPECT_EQ(freshness_.AgeAtLeast(clock_.Now(), Seq(5)), seconds(3));
}

TEST_F(FreshnessTest, WhoHasEverythingIsFreshWhileTheConnectionIsAlive) {
  Hear(7);
  clock_.Advance(seconds(4));
  EXPECT_EQ(Age(7), seconds(0));
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(Age(7), milliseconds(4001));
  Hear(7);
  EXPECT_EQ(Age(7), seconds(0));
  clock_.Advance(seconds(1));
  freshness_.Disconnected();
  EXPECT_EQ(Age(7), seconds(1));
}

TEST_F(FreshnessTest, ACommitAfterALongPauseDoesNotMakeTheCopyOld) {
  Hear(7);
  for (int i = 0; i < 1000; ++i) {
    clock_.Advance(seconds(2));
    Hear(7);
  }
  clock_.Advance(seconds(1));
  Hear(8);
  clock_.Advance(milliseconds(3));
  EXPECT_EQ(Age(7), milliseconds(1003));
  EXPECT_EQ(Age(8), seconds(0));
}

TEST_F(FreshnessTest, ABusyCopyIsAsOldAsWhatItLacks) {
  for (uint64_t end = 1; end <= 1000; ++end) {
    Hear(end);
    clock_.Advance(milliseconds(1));
  }
  const auto age = Age(900);
  ASSERT_TRUE(age.has_value());
  EXPECT_GE(*age, milliseconds(100));
  EXPECT_LE(*age, milliseconds(125));
}

TEST_F(FreshnessTest, OldMomentsAreThinnedOutAndNeverMadeYounger) {
  for (uint64_t end = 1; end <= 100'000; ++end) {
    Hear(end);
    clock_.Advance(milliseconds(20));
  }
  for (const uint64_t seq : {99'990u, 99'000u, 90'000u, 50'000u}) {
    const auto age = Age(seq);
    ASSERT_TRUE(age.has_value()) << seq;
    EXPECT_GE(*age, milliseconds(20) * (100'000 - seq)) << seq;
    EXPECT_LE(*age, milliseconds(20) * (100'000 - seq) * 9 / 8 + milliseconds(100)) << seq;
  }
}

TEST_F(FreshnessTest, AnotherLogBeginsAnew) {
  Hear(100);
  clock_.Advance(seconds(1));
  Hear(50);
  EXPECT_EQ(Age(50), seconds(0));
  EXPECT_EQ(Age(49), std::nullopt);
  freshness_.Forget();
  EXPECT_EQ(Age(50), std::nullopt);
}

}  // namespace
}  // namespace understudy::server
