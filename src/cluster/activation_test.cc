// SPDX-License-Identifier: Apache-2.0
#include "cluster/activation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace understudy::cluster {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

base::Position At(uint64_t seq, uint64_t term = 1) { return {base::Term(term), base::Seq(seq)}; }

class ActiveManagerTest : public testing::Test {
 protected:
  ActiveManagerTest() {
    view_.record.name = "orders";
    view_.record.active = "s1";
    for (const char* server : {"s1", "s2", "s3"}) {
      CopyRecord copy;
      copy.server = server;
      view_.record.copies.push_back(copy);
    }
    view_.active_published = At(100);
    for (const char* server : {"s2", "s3"}) {
      CopyView copy;
      copy.server = server;
      copy.server_alive = copy.answered = true;
      copy.state = "DisconnectedAndHealthy";
      copy.durable = copy.source_end = At(100);
      copy.silence = seconds(5);
      view_.passives.push_back(copy);
    }
    how_.lease = seconds(6);
  }
  CopyView& copy(const std::string& server) { return view_.passives[server == "s2" ? 0 : 1]; }
  CopyRecord& record(const std::string& server) { return *view_.record.FindCopy(server); }
  Choice Choose() const { return ChooseBestCopy(view_, how_); }
  std::string VerdictOn(const std::string& server) const {
    for (const Candidate& candidate : Choose().candidates) {
      if (candidate.server == server) return candidate.verdict;
    }
    return "no verdict";
  }

  DatabaseView view_;
  Selection how_;
};

TEST_F(ActiveManagerTest, ChoosesTheCopyWithMost) {
  copy("s2").durable = At(99);
  EXPECT_EQ(Choose().target(), "s3");
  EXPECT_EQ(Choose().candidates[1].missing, 1U);
  EXPECT_EQ(Choose().known_end, At(100));
}

TEST_F(ActiveManagerTest, ANewerTermBeatsMoreRecordsOfAnOlderOne) {
  view_.active_published = {};
  copy("s2").durable = copy("s2").source_end = At(120, 1);
  copy("s3").durable = copy("s3").source_end = At(110, 2);
  how_.accept_any_loss = true;
  EXPECT_EQ(Choose().target(), "s3");
}

// Of random groups that any loss is accepted for, nobody has more than the one that is chosen, and
// nobody with as much is preferred to it.
TEST_F(ActiveManagerTest, TheBestOfRandomGroupsIsChosen) {
  std::mt19937_64 random(11);
  how_.accept_any_loss = true;
  for (int round = 0; round < 1000; ++round) {
    for (const char* server : {"s2", "s3"}) {
      copy(server).durable = copy(server).source_end = At(100 + random() % 4, 1 + random() % 3);
      record(server).preference = random() % 3;
    }
    const CopyView& other = Choose().target() == "s2" ? copy("s3") : copy("s2");
    const CopyView& chosen = Choose().target() == "s2" ? copy("s2") : copy("s3");
    ASSERT_EQ(chosen.server, Choose().target()) << round;
    ASSERT_GE(chosen.durable, other.durable) << round;
    const uint64_t mine = record(chosen.server).preference;
    const uint64_t others = record(other.server).preference;
    if (chosen.durable == other.durable && others != 0) {
      ASSERT_TRUE(mine != 0 && mine <= others) << round;
    }
  }
}

TEST_F(ActiveManagerTest, ALaggedCopyIsTheLastResort) {
  record("s3").replay_lag = std::chrono::hours(2);
  record("s3").preference = 1;
  copy("s3").replay_queue = 77;
  copy("s2").durable = At(99);
  EXPECT_EQ(Choose().target(), "s2");
  EXPECT_THAT(VerdictOn("s3"), HasSubstr("lags by 2h"));
  EXPECT_THAT(VerdictOn("s3"), HasSubstr("replay 77 commits"));
  // The dial forbids the loss, or the other copy is gone.
  how_.dial = MountDial::kLossless;
  view_.record.term = base::Term(4);
  copy("s3").final_term = copy("s2").final_term = base::Term(4);
  EXPECT_EQ(Choose().target(), "s3");
  how_.dial = MountDial::kGood;
  copy("s2").server_alive = false;
  EXPECT_EQ(Choose().target(), "s3");
}

TEST(LagText, TakesTheLargestWholeUnit) {
  EXPECT_EQ(LagText(kReplayLagMax), "14d");
  EXPECT_EQ(LagText(std::chrono::hours(2)), "2h");
  EXPECT_EQ(LagText(std::chrono::minutes(90)), "90m");
  EXPECT_EQ(LagText(seconds(61)), "61s");
  EXPECT_EQ(LagText(milliseconds(1500)), "1500ms");
  EXPECT_EQ(LagText({}), "0ms");
}

TEST_F(ActiveManagerTest, PreferenceDecidesBetweenEqualsOnly) {
  record("s3").preference = 1;
  EXPECT_EQ(Choose().target(), "s3");
  record("s2").preference = 2;
  EXPECT_EQ(Choose().target(), "s3");
  copy("s3").durable = At(99);
  EXPECT_EQ(Choose().target(), "s2");
}

TEST_F(ActiveManagerTest, SaysWhyACopyIsNoCandidate) {
  copy("s2").server_alive = false;
  EXPECT_EQ(VerdictOn("s2"), "its server has no lease");
  copy("s2").server_alive = true;
  copy("s2").answered = false;
  EXPECT_EQ(VerdictOn("s2"), "its server does not answer");
  copy("s2").answered = true;
  copy("s2").state = "Seeding";
  EXPECT_EQ(VerdictOn("s2"), "it is Seeding");
  copy("s2").state = "Healthy";
  record("s2").activation_suspended = true;
  EXPECT_EQ(VerdictOn("s2"), "its activation is suspended");
  record("s2").activation_suspended = false;
  record("s2").suspended = true;
  EXPECT_EQ(VerdictOn("s2"), "it is suspended");
  record("s2").suspended = false;
  copy("s2").in_maintenance = true;
  EXPECT_EQ(VerdictOn("s2"), "its server is in maintenance");
  copy("s2").in_maintenance = false;
  how_.rested = {"s2"};
  EXPECT_THAT(VerdictOn("s2"), HasSubstr("did not mount"));
  EXPECT_EQ(Choose().target(), "s3");
}

TEST_F(ActiveManagerTest, LosslessNeedsTheFormerActivesOwnWord) {
  how_.dial = MountDial::kLossless;
  view_.record.term = base::Term(4);
  EXPECT_THAT(VerdictOn("s2"), HasSubstr("dial is lossless"));
  copy("s3").connected = true;
  EXPECT_EQ(Choose().target(), "") << "it may be mounted still";
  copy("s3").final_term = base::Term(3);
  EXPECT_EQ(Choose().target(), "") << "it was mounted again since";
  copy("s3").final_term = base::Term(4);
  EXPECT_EQ(Choose().target(), "s3");
  copy("s3").connected = false;
  EXPECT_EQ(Choose().target(), "s3");
  EXPECT_THAT(VerdictOn("s3"), HasSubstr("has said that term 4 ended"));
  copy("s3").durable = At(99);
  EXPECT_EQ(Choose().target(), "");
}

TEST_F(ActiveManagerTest, WhoKnowsTheEndNeedsNoRecentWord) {
  view_.record.term = base::Term(4);
  copy("s2").silence = copy("s3").silence = std::chrono::hours(1);
  EXPECT_EQ(Choose().target(), "");
  copy("s3").final_term = base::Term(4);
  EXPECT_EQ(Choose().target(), "s3");
}

TEST_F(ActiveManagerTest, TheDialBoundsRecordsAndSilence) {
  view_.active_published = At(100 + BoundsOf(MountDial::kGood).records_max);
  EXPECT_EQ(Choose().target(), "s2");
  view_.active_published = At(101 + BoundsOf(MountDial::kGood).records_max);
  EXPECT_EQ(Choose().target(), "");
  EXPECT_THAT(VerdictOn("s2"), HasSubstr("lacks 1001 records, the dial (good) allows 1000"));
  how_.dial = MountDial::kBest;
  EXPECT_EQ(Choose().target(), "s2");

  how_.dial = MountDial::kGood;
  view_.active_published = At(100);
  const base::Duration allowed = how_.lease + BoundsOf(MountDial::kGood).silence_max;
  copy("s2").silence = allowed;
  EXPECT_EQ(Choose().target(), "s2");
  copy("s2").silence = allowed + milliseconds(1);
  EXPECT_EQ(Choose().target(), "s3");
  copy("s2").silence.reset();
  EXPECT_THAT(VerdictOn("s2"), HasSubstr("unknown"));
}

TEST_F(ActiveManagerTest, APersonMayNameACopyAndAcceptLoss) {
  copy("s3").durable = At(10);
  record("s3").activation_suspended = true;
  view_.active_published = At(2'000);
  how_.only = "s3";
  how_.accept_any_state = true;
  EXPECT_EQ(Choose().target(), "");
  EXPECT_EQ(VerdictOn("s2"), "s3 was asked for");
  how_.accept_any_loss = true;
  EXPECT_EQ(Choose().target(), "s3");
  copy("s3").state = "Seeding";
  EXPECT_EQ(Choose().target(), "");
}

TEST_F(ActiveManagerTest, FailsOverWithoutALeaseAndGivesUpAFailedMount) {
  view_.active_alive = true;
  EXPECT_EQ(NeedOf(view_, false).what, Need::What::kNothing);
  view_.active_failed_for = kMountPatience;
  EXPECT_EQ(NeedOf(view_, false).what, Need::What::kGiveUpMount);
  view_.active_alive = false;
  EXPECT_EQ(NeedOf(view_, false).what, Need::What::kFailover);
}

TEST_F(ActiveManagerTest, DoesNothingWhilePausedDismountedOrAlone) {
  EXPECT_EQ(NeedOf(view_, true).what, Need::What::kNothing);
  EXPECT_THAT(NeedOf(view_, true).why, HasSubstr("paused"));
  view_.record.dismounted = true;
  EXPECT_EQ(NeedOf(view_, false).what, Need::What::kNothing);
  view_.record.dismounted = false;
  view_.record.copies.resize(1);
  EXPECT_EQ(NeedOf(view_, false).what, Need::What::kNothing);
}

}  // namespace
}  // namespace understudy::cluster
