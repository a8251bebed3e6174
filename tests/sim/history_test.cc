// SPDX-License-Identifier: Apache-2.0
// Histories that must be accepted, and one of each kind that must not.
#include "tests/sim/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Anomaly::Kind;

base::SteadyTime At(int seconds) { return base::SteadyTime(std::chrono::seconds(3600 + seconds)); }
Add Told(const std::string& server, int begin, int end, AddEnd told = AddEnd::kAcknowledged) {
  return {server, At(begin), At(end), told};
}
std::vector<Kind> KindsOf(const History& history, const LossBound& bound = {}) {
  std::vector<Kind> kinds;
  for (const Anomaly& each : FindAnomalies(history, bound)) kinds.push_back(each.kind);
  return kinds;
}
const LossBound kGood{.lossless = false, .after = std::chrono::seconds(10)};

// Two servers, one after the other; one row is unknown and there, one unknown and not, one refused.
History Legal() {
  History history;
  history.adds = {{1, Told("s1", 1, 2)},
                  {2, Told("s1", 3, 4, AddEnd::kUnknown)},
                  {3, Told("s1", 5, 6, AddEnd::kUnknown)},
                  {4, Told("s2", 7, 8, AddEnd::kRefused)},
                  {5, Told("s2", 9, 10)}};
  history.reads = {{"s1/1", "s1", At(2), At(2), false, 0, {1}},
                   {"s1/1", "s1", At(4), At(4), false, 0, {1, 2}},
                   {"s3/1", "s3", At(4), At(4), false, 0, {}},  // a passive copy may be behind
                   {"s2/1", "s2", At(9), At(9), true, 0, {1, 2}}};
  history.last = {1, 2, 5};
  return history;
}

TEST(History, ALegalOneIsAccepted) {
  EXPECT_THAT(FindAnomalies(Legal(), {}), IsEmpty());
  EXPECT_THAT(FindAnomalies(Legal(), kGood), IsEmpty());
  EXPECT_THAT(FindAnomalies({}, {}), IsEmpty());
}

TEST(History, AnAcknowledgedRowThatIsNowhereIsLost) {
  History history = Legal();
  history.last = {1, 2};
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kLost));
  EXPECT_THAT(KindsOf(history, kGood), ElementsAre(Kind::kLost));  // with any dial
  EXPECT_EQ(FindAnomalies(history, {})[0].row, 5);
}

TEST(History, AKeptRowIsBeyondTheDialLossless) {
  History history = Legal();
  history.last = {2, 5};
  history.reads.clear();
  history.kept = {1};
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kBeyondDial));
  EXPECT_THAT(KindsOf(history, kGood), IsEmpty());  // the next server began 7 s later
}

TEST(History, AKeptRowIsBeyondTheDialWhenTheNextServerBeganTooLate) {
  History history = Legal();
  history.last = {2, 5};
  history.reads.clear();
  history.kept = {1};
  history.adds[5] = Told("s2", 13, 14);
  EXPECT_THAT(KindsOf(history, kGood), ElementsAre(Kind::kBeyondDial));
  history.adds[5] = Told("s2", 12, 14);
  EXPECT_THAT(KindsOf(history, kGood), IsEmpty());
}

TEST(History, ARowThatIsThereTwiceIsDuplicated) {
  History history = Legal();
  history.last = {1, 2, 5, 5};
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kDuplicated));
}

TEST(History, ARowThatNobodyWroteIsInvented) {
  History history = Legal();
  history.last = {1, 2, 5, 99};
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kInvented));
  history = Legal();
  history.reads.push_back({"s3/1", "s3", At(11), At(11), false, 50, {99}});
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kInvented));
}

TEST(History, ARowThatWasReadBeforeItWasWrittenIsInvented) {
  History history = Legal();
  history.reads.push_back({"s3/2", "s3", At(8), At(8), false, 5, {5}});
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kInvented));
}

TEST(History, ARefusedRowIsNeverSeen) {
  History history = Legal();
  history.last = {1, 2, 4, 5};
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kUndead));
  history = Legal();
  history.reads.push_back({"s3/1", "s3", At(11), At(11), false, 4, {4, 5}});
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kUndead));
}

TEST(History, AFreshReadSeesAllThatWasAcknowledgedBefore) {
  History history = Legal();
  history.reads.push_back({"s2/1", "s2", At(11), At(11), true, 2, {2}});
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kStale));
  history.reads.back().begin = At(10);  // 5 was acknowledged at the same moment: any order
  EXPECT_THAT(KindsOf(history), IsEmpty());
  history.reads.back() = {"s3/9", "s3", At(11), At(11),
                          false,  2,    {2}};  // of a passive copy: it may be behind
  EXPECT_THAT(KindsOf(history), IsEmpty());
  history.reads.back() = {"s2/1", "s2", At(11), At(11),
                          true,   6,    {}};  // it did not look at that row
  EXPECT_THAT(KindsOf(history), IsEmpty());
}

TEST(History, AClientSeesWhatItHasSeen) {
  History history = Legal();
  history.reads.push_back({"s1/1", "s1", At(8), At(8), false, 0, {1}});
  EXPECT_THAT(KindsOf(history), ElementsAre(Kind::kNotMonotonic));
  history.reads.back().client = "s1/2";  // another process: the machine was off
  EXPECT_THAT(KindsOf(history), IsEmpty());
  history.reads.back() = {"s1/1", "s1", At(8), At(8), false, 0, {1}};
  history.last = {1, 5};
  history.kept = {2};  // the dial allowed it
  EXPECT_THAT(KindsOf(history, kGood), IsEmpty());
}

}  // namespace
}  // namespace understudy::sim
