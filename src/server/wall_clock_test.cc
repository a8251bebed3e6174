// SPDX-License-Identifier: Apache-2.0
#include "server/wall_clock.h"

#include <gtest/gtest.h>

namespace understudy::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(WallClock, TellsStepsBackOnly) {
  WallClock clock;
  const auto at = [&](int64_t steady_ms, int64_t wall_ms) {
    return clock.Observe(base::SteadyTime(milliseconds(steady_ms)), base::WallTime{wall_ms});
  };
  EXPECT_EQ(at(1'000, 1'800'000'000'000), seconds(0));
  EXPECT_EQ(at(2'000, 1'800'000'001'000), seconds(0));
  EXPECT_EQ(at(3'000, 1'800'086'402'000), seconds(0));       // a day ahead
  EXPECT_EQ(at(4'000, 1'800'000'003'000), seconds(86'400));  // and back
  EXPECT_EQ(at(5'000, 1'800'000'004'000), seconds(0));       // told once
  EXPECT_EQ(at(9'000, 1'800'000'006'000), seconds(2));
}

}  // namespace
}  // namespace understudy::server
