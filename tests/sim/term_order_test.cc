// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/term_order.h"

#include <gtest/gtest.h>

namespace understudy::sim {
namespace {

TimedCommit At(const std::string& server, int begin, int end) {
  return {server, base::SteadyTime(std::chrono::seconds(begin)),
          base::SteadyTime(std::chrono::seconds(end))};
}

const std::map<uint64_t, std::string> kTerms = {{1, "s1"}, {2, "s2"}, {3, "s1"}};

TEST(TermOrder, CommitsThatFollowTheTermsAreFine) {
  EXPECT_TRUE(FindOutOfOrder(kTerms, {At("s1", 1, 2), At("s2", 3, 4), At("s1", 5, 6)}).empty());
}

TEST(TermOrder, OverlappingOnesMayBeInAnyOrder) {
  EXPECT_TRUE(FindOutOfOrder({{1, "s1"}, {2, "s2"}}, {At("s2", 1, 4), At("s1", 2, 5)}).empty());
}

TEST(TermOrder, OneAfterALaterTermHadBegunElsewhereIsWrong) {
  const auto wrong =
      FindOutOfOrder(kTerms, {At("s2", 1, 2), At("s1", 3, 4), At("s2", 5, 6), At("s1", 7, 8)});
  ASSERT_EQ(wrong.size(), 1U);
  EXPECT_EQ(wrong[0].begin, base::SteadyTime(std::chrono::seconds(5)));
}

TEST(TermOrder, OneOfAServerThatWasNeverActiveIsWrong) {
  EXPECT_EQ(FindOutOfOrder(kTerms, {At("s3", 1, 2)}).size(), 1U);
}

}  // namespace
}  // namespace understudy::sim
