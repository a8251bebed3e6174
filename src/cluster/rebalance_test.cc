// SPDX-License-Identifier: Apache-2.0
#include "cluster/rebalance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::cluster {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000'000;

class RebalanceTest : public ::testing::Test {
 protected:
  RebalanceTest() {
    view_.record.name = "orders";
    view_.record.active = "s2";
    view_.active_alive = true;
    view_.active_published = {base::Term(2), base::Seq(100)};
    for (const char* server : {"s1", "s2", "s3"}) {
      CopyRecord copy;
      copy.server = server;
      view_.record.copies.push_back(copy);
      if (view_.record.active == server) continue;
      CopyView passive;
      passive.server = server;
      passive.server_alive = passive.answered = passive.connected = true;
      passive.state = "Healthy";
      passive.durable = view_.active_published;
      view_.passives.push_back(passive);
    }
  }
  std::optional<PreferenceMove> Judge(bool by_person = false) {
    return JudgePreference(view_, {kNow}, by_person);
  }
  void Moved(int64_t seconds_ago, const std::string& reason) {
    view_.record.history.push_back({base::Term(1), {}, "s2", {kNow - seconds_ago * 1000}, reason});
  }

  DatabaseView view_;
};

TEST_F(RebalanceTest, WithoutPreferencesNothingIsMoved) {
  EXPECT_EQ(Judge(), std::nullopt);
  view_.record.FindCopy("s1")->preference = 1;
  view_.record.FindCopy("s3")->preference = 1;
  EXPECT_EQ(Judge(), std::nullopt) << "two are preferred alike";
  view_.record.FindCopy("s2")->preference = 1;
  EXPECT_EQ(PreferredServer(view_.record), "");
  view_.record.FindCopy("s1")->preference = 2;
  view_.record.FindCopy("s3")->preference = 3;
  EXPECT_EQ(Judge(), std::nullopt) << "it is where it should be";
}

TEST_F(RebalanceTest, MovesToThePreferredCopyThatIsAsGood) {
  view_.record.FindCopy("s1")->preference = 1;
  view_.record.FindCopy("s2")->preference = 2;
  auto move = Judge();
  ASSERT_TRUE(move.has_value());
  EXPECT_TRUE(move->allowed) << move->verdict;
  EXPECT_EQ(move->to, "s1");
  view_.passives[0].state = "Seeding";
  EXPECT_FALSE(Judge()->allowed);
  EXPECT_THAT(Judge()->verdict, HasSubstr("it is Seeding"));
  view_.passives[0].state = "Healthy";
  view_.passives[0].durable.seq = base::Seq(100);
  view_.active_published.seq = base::Seq(101 + kRebalanceMissingMax);
  EXPECT_THAT(Judge()->verdict, HasSubstr("lacks 1001 records"));
  view_.active_published.seq = base::Seq(100);
  view_.passives[0].in_maintenance = true;
  EXPECT_THAT(Judge()->verdict, HasSubstr("maintenance"));
  view_.passives[0].in_maintenance = false;
  view_.record.dismounted = true;
  EXPECT_FALSE(Judge()->allowed);
  view_.record.dismounted = false;
  view_.active_alive = false;
  EXPECT_THAT(Judge()->verdict, HasSubstr("no lease"));
}

TEST_F(RebalanceTest, NeverMovesToALaggedCopy) {
  view_.record.FindCopy("s1")->preference = 1;
  view_.record.FindCopy("s1")->replay_lag = std::chrono::hours(2);
  EXPECT_FALSE(Judge()->allowed);
  EXPECT_THAT(Judge()->verdict, HasSubstr("lags by 2h"));
}

TEST_F(RebalanceTest, RestsAfterAutomaticMovesLongerEachTime) {
  const auto rest = [&] {
    return MoveRest(view_.record.history, {kNow}) / std::chrono::seconds(1);
  };
  EXPECT_EQ(rest(), 0);
  Moved(3, "mount");
  Moved(2, "switchover");
  EXPECT_EQ(rest(), 0) << "a person's moves do not count";
  Moved(3700, "failover");
  EXPECT_EQ(rest(), 0) << "long ago";
  Moved(4, "failover");
  EXPECT_EQ(rest(), 6);
  Moved(2, "preference");
  EXPECT_EQ(rest(), 18);
  for (int i = 0; i < 20; ++i) Moved(100, "failover");
  EXPECT_EQ(rest(), 598);
  Moved(-50, "failover");  // of a server whose clock is ahead
  EXPECT_EQ(rest(), 600);
}

TEST_F(RebalanceTest, APersonNeedNotWait) {
  view_.record.FindCopy("s1")->preference = 1;
  Moved(1, "failover");
  EXPECT_FALSE(Judge()->allowed);
  EXPECT_THAT(Judge()->verdict, HasSubstr("not before 10 s"));
  EXPECT_TRUE(Judge(/*by_person=*/true)->allowed);
}

}  // namespace
}  // namespace understudy::cluster
