// SPDX-License-Identifier: Apache-2.0
#include "server/replay_lag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "testing/sim_clock.h"

namespace understudy::server {
namespace {

using base::Seq;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

// Replays at once what it may, as a fast replayer does.
class ReplayLagTest : public ::testing::Test {
 protected:
  ReplayLag::Decision Decide() {
    facts_.now = clock_.Now();
    ReplayLag::Decision decision = lag_.Decide(facts_);
    if (!decision.began.empty()) began_ = decision.began;
    if (!decision.ended.empty()) ended_ = decision.ended;
    return decision;
  }
  void Replay() {
    facts_.replayed = std::max(facts_.replayed, std::min(Decide().limit, facts_.durable));
  }
  void Commit(uint64_t seq) {
    facts_.durable = Seq(seq);
    Replay();
  }
  uint64_t replayed() const { return facts_.replayed.value; }

  test::SimClock clock_;
  ReplayLag lag_;
  ReplayLag::Facts facts_{.now = {},
                          .durable = {},
                          .replayed = {},
                          .lag = hours(2),
                          .disk_low = {},
                          .few_copies = {},
                          .chunk_end = {}};
  std::string began_;
  std::string ended_;
};

TEST_F(ReplayLagTest, HoldsBackAndLetsGo) {
  Commit(100);
  EXPECT_EQ(replayed(), 0U);
  EXPECT_EQ(Decide().next, clock_.Now() + hours(2));
  clock_.Advance(hours(2));
  Replay();
  EXPECT_EQ(replayed(), 100U);
  EXPECT_EQ(began_ + ended_, "");
}

TEST_F(ReplayLagTest, WithoutALagNothingIsHeld) {
  Commit(100);
  facts_.lag = {};
  Replay();
  EXPECT_EQ(replayed(), 100U);
  facts_.lag = hours(1);
  Commit(200);
  EXPECT_EQ(replayed(), 100U);
}

TEST_F(ReplayLagTest, PlaysDownWhatWasAskedForThenLagsAgain) {
  Commit(100);
  lag_.PlayDown(Seq(60), "an administrator asked for it");
  Replay();
  EXPECT_EQ(replayed(), 60U);
  EXPECT_THAT(began_, HasSubstr("from 0 to 60"));
  EXPECT_THAT(began_, HasSubstr("an administrator asked for it"));
  ASSERT_TRUE(lag_.playing_down().has_value());
  Commit(150);
  EXPECT_THAT(ended_, HasSubstr("60 commits"));
  EXPECT_FALSE(lag_.playing_down().has_value());
  EXPECT_EQ(replayed(), 60U);
  clock_.Advance(hours(2));
  Replay();
  EXPECT_EQ(replayed(), 150U);
}

TEST_F(ReplayLagTest, ALowDiskGivesUpOneChunkAfterTheOther) {
  Commit(100);
  facts_.disk_low = "3 % are free";
  facts_.chunk_end = Seq(40);
  Replay();
  EXPECT_EQ(replayed(), 40U);
  EXPECT_THAT(began_, HasSubstr("3 % are free"));
  EXPECT_TRUE(lag_.for_disk());
  facts_.chunk_end = Seq(80);
  Replay();  // not before the log of the first chunk was reclaimed
  EXPECT_TRUE(lag_.wants_reclaim());
  EXPECT_EQ(replayed(), 40U);
  lag_.Reclaimed();
  Replay();
  EXPECT_EQ(replayed(), 80U);
  Replay();
  EXPECT_TRUE(lag_.wants_reclaim());
  facts_.disk_low.clear();
  lag_.Reclaimed();
  Replay();
  EXPECT_EQ(replayed(), 80U);
  EXPECT_THAT(ended_, HasSubstr("80 commits"));
  EXPECT_FALSE(lag_.for_disk());
}

TEST_F(ReplayLagTest, ADiskThatStaysLowIsOnePlayDown) {
  facts_.disk_low = "3 % are free";
  Commit(0);
  for (uint64_t seq = 10; seq <= 100; seq += 10) {
    facts_.chunk_end = Seq(seq);
    Commit(seq);
    EXPECT_EQ(replayed(), seq);
    Replay();
    if (seq == 10) began_.clear();
    lag_.Reclaimed();
  }
  EXPECT_EQ(began_ + ended_, "");
}

TEST_F(ReplayLagTest, FewCopiesPlayItDownUntilThereAreMore) {
  Commit(100);
  facts_.few_copies = "only 1 copies are healthy";
  Replay();
  Commit(120);
  Replay();
  EXPECT_EQ(replayed(), 120U);
  facts_.few_copies.clear();
  Commit(130);
  EXPECT_EQ(replayed(), 120U);
  EXPECT_NE(ended_, "");
}

TEST_F(ReplayLagTest, EverythingGoesWhenTheCopyIsToBeMounted) {
  Commit(100);
  facts_.release_all = true;
  Replay();
  EXPECT_EQ(replayed(), 100U);
}

TEST_F(ReplayLagTest, AnAskedPlayDownTakesAnotherOneOver) {
  Commit(100);
  facts_.disk_low = "3 % are free";
  facts_.chunk_end = Seq(40);
  Decide();
  lag_.PlayDown(Seq(90), "asked");
  Replay();
  EXPECT_EQ(replayed(), 90U);
  facts_.disk_low.clear();
  Replay();
  EXPECT_THAT(ended_, HasSubstr("90 commits"));
}

TEST_F(ReplayLagTest, APlayDownEndsWithTheLag) {
  Commit(100);
  lag_.PlayDown(Seq(100), "asked");
  Decide();
  facts_.lag = {};
  Decide();
  EXPECT_NE(ended_, "");
  EXPECT_FALSE(lag_.playing_down().has_value());
}

}  // namespace
}  // namespace understudy::server
