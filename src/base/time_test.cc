// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include <gtest/gtest.h>

#include <string>

namespace understudy::base {
namespace {

TEST(Rfc3339, PrintsKnownTimes) {
  EXPECT_EQ(ToRfc3339({0}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(ToRfc3339({-1}), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(ToRfc3339({1'709'210'096'789}), "2024-02-29T12:34:56.789Z");
}

TEST(Rfc3339, RoundTripsAcrossYears) {
  for (int64_t ms = -1'000'000'000'000; ms < 5'000'000'000'000; ms += 86'399'999'123) {
    const auto back = FromRfc3339(ToRfc3339({ms}));
    ASSERT_TRUE(back.ok()) << ToRfc3339({ms});
    EXPECT_EQ(back->unix_ms, ms);
  }
}

TEST(Rfc3339, TakesAFractionOfAnyLength) {
  EXPECT_EQ(FromRfc3339("1970-01-01T00:00:01Z")->unix_ms, 1000);
  EXPECT_EQ(FromRfc3339("1970-01-01T00:00:01.5Z")->unix_ms, 1500);
  EXPECT_EQ(FromRfc3339("1970-01-01T00:00:01.123456789Z")->unix_ms, 1123);
}

TEST(Rfc3339, RefusesWhatIsNotATime) {
  for (const char* bad : {"", "now", "2026-03-01", "2026-03-01 09:30:00Z", "2026-03-01T09:30:00",
                          "2026-02-30T09:30:00Z", "2026-13-01T09:30:00Z", "2026-00-01T09:30:00Z",
                          "2026-03-01T24:30:00Z", "2026-03-01T09:60:00Z", "2026-03-01T09:30:61Z",
                          "2026-03-01T09:30:00+01:00", "2026-03-01T09:30:00Zx",
                          "2026-03-01T-9:30:00Z", "2026-03-01T09:30:00.Z", "+026-03-01T09:30:00Z",
                          "2026- 3-01T09:30:00Z", "26-3-1T9:3:0Z", "2026-03-01T09:30:00.1x2Z"}) {
    EXPECT_EQ(FromRfc3339(bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace understudy::base
