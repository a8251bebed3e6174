// SPDX-License-Identifier: Apache-2.0
#include "web/lag_history.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "web/source_fixture.h"

namespace understudy::web {
namespace {

constexpr base::Duration kMinute = std::chrono::minutes(1);

TEST(LagHistory, KeepsTheWorstOfEachMinute) {
  test::FixedSource source;
  LagHistory history;
  source.mail().copy_queue = 900;
  history.Note(source.snapshot, 10 * kMinute);
  source.mail().copy_queue = 4;
  history.Note(source.snapshot, 10 * kMinute + LagHistory::kInterval);
  history.Note(source.snapshot, 11 * kMinute);
  const Json row = history.Of("mail")["copies"].at(0);
  EXPECT_EQ(row["server"], "s1");
  EXPECT_EQ(row["copy_queue"], Json::parse("[900,4]"));
  EXPECT_EQ(row["replay_queue"], Json::parse("[7,7]"));
  EXPECT_EQ(row["age_ms"], Json::parse("[900,900]"));
  EXPECT_TRUE(history.Of("orders")["copies"].empty());  // the active copy has no queues
}

TEST(LagHistory, HasGapsForWhatIsNotKnown) {
  test::FixedSource source;
  LagHistory history;
  history.Note(source.snapshot, 10 * kMinute);
  source.mail().queues_known = false;
  source.mail().replayed_age.reset();
  history.Note(source.snapshot, 12 * kMinute);
  source.snapshot.copies.pop_back();
  history.Note(source.snapshot, 13 * kMinute);
  const Json row = history.Of("mail")["copies"].at(0);
  EXPECT_EQ(row["copy_queue"], Json::parse("[3,null,null,null]"));
  EXPECT_EQ(row["replay_queue"], Json::parse("[7,null,7,null]"));
}

TEST(LagHistory, ForgetsWhatIsOld) {
  test::FixedSource source;
  LagHistory history;
  const auto steps = static_cast<int64_t>(LagHistory::kStepsMax);
  for (int64_t i = 0; i < steps + 5; ++i) history.Note(source.snapshot, i * kMinute);
  EXPECT_EQ(history.Of("mail")["copies"].at(0)["copy_queue"].size(), LagHistory::kStepsMax);
  source.snapshot.copies.pop_back();
  history.Note(source.snapshot, 3 * steps * kMinute);
  EXPECT_TRUE(history.Of("mail")["copies"].empty());
}

TEST(LagHistory, TellsOfCopiesElsewhereWhatTheyPublish) {
  test::FixedSource source;
  auto group = std::make_shared<GroupView>(*source.snapshot.group);
  cluster::CopyStatusRecord status;
  status.database = "orders";
  status.server = "s2";
  status.copy_queue = 12;
  status.durable.seq = base::Seq(100);
  status.replayed.seq = base::Seq(95);
  group->statuses.push_back(status);
  source.snapshot.group = group;
  LagHistory history;
  history.Note(source.snapshot, kMinute);
  const Json row = history.Of("orders")["copies"].at(0);
  EXPECT_EQ(row["copy_queue"], Json::parse("[12]"));
  EXPECT_EQ(row["replay_queue"], Json::parse("[5]"));
  EXPECT_EQ(row["age_ms"], Json::parse("[null]"));
}

TEST(LagHistory, IsBounded) {
  test::FixedSource source;
  source.snapshot.copies.clear();
  for (size_t i = 0; i < LagHistory::kCopiesMax + 10; ++i) {
    LocalCopy copy;
    copy.database = fmt::format("db{:05}", i);
    source.snapshot.copies.push_back(copy);
  }
  LagHistory history;
  history.Note(source.snapshot, kMinute);
  EXPECT_EQ(history.Of("db00000")["copies"].size(), 1U);
  EXPECT_TRUE(history.Of(fmt::format("db{:05}", LagHistory::kCopiesMax))["copies"].empty());
}

}  // namespace
}  // namespace understudy::web
