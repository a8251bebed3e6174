// SPDX-License-Identifier: Apache-2.0
#include "server/idle_search.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace understudy::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A path that forgets connections that were idle for longer.
IdleSearch SearchOn(base::Duration limit, base::Duration max, base::Duration& waited) {
  IdleSearch search(max);
  waited = {};
  for (auto times = search.NextRound(); !times.empty(); times = search.NextRound()) {
    EXPECT_LE(times.size(), IdleSearch::kConnectionsMax);
    EXPECT_TRUE(std::ranges::is_sorted(times));
    waited += times.back();
    for (const base::Duration idle : times) search.Note(idle, idle <= limit);
  }
  return search;
}

TEST(IdleSearch, FindsTheLimitWithinAFewPercent) {
  for (const int limit_s : {3, 5, 6, 10, 29, 59}) {
    base::Duration waited{};
    const base::Duration limit = seconds(limit_s) + milliseconds(300);
    const IdleSearch search = SearchOn(limit, seconds(60), waited);
    ASSERT_NE(search.died(), base::Duration(0)) << limit_s;
    EXPECT_LE(search.survived(), limit);
    EXPECT_GT(search.died(), limit);
    EXPECT_LE(search.died() - search.survived(), std::max<base::Duration>(limit / 10, seconds(1)))
        << limit_s;
    EXPECT_LE(waited, search.longest());
  }
}

TEST(IdleSearch, NoneDiesWithinTheLongest) {
  base::Duration waited{};
  const IdleSearch search = SearchOn(seconds(100), seconds(60), waited);
  EXPECT_EQ(search.survived(), seconds(60));
  EXPECT_EQ(search.died(), base::Duration(0));
  EXPECT_EQ(waited, seconds(60));
}

TEST(IdleSearch, AllDie) {
  base::Duration waited{};
  const IdleSearch search = SearchOn(milliseconds(500), seconds(30), waited);
  EXPECT_LE(search.survived(), milliseconds(500));
  EXPECT_LE(search.died(), seconds(1));
}

TEST(IdleSearch, AnUnluckyConnectionDoesNotHideOnesThatLivedLonger) {
  IdleSearch search(seconds(10));
  for (const base::Duration idle : search.NextRound()) search.Note(idle, true);
  search.Note(seconds(3), false);
  EXPECT_LT(search.survived(), search.died());
}

}  // namespace
}  // namespace understudy::server
