// SPDX-License-Identifier: Apache-2.0
#include "cluster/calendar.h"

#include <gtest/gtest.h>

namespace understudy::cluster {
namespace {

std::string NextOf(std::string_view calendar, std::string_view after) {
  const auto parsed = Calendar::Parse(calendar);
  if (!parsed.ok()) return parsed.status().message();
  const auto time = base::FromRfc3339(after);
  if (!time.ok()) return time.status().message();
  const auto next = parsed->Next(*time);
  return next ? base::ToRfc3339(*next) : "never";
}

struct Case {
  std::string_view calendar, after, next;
};

class CalendarTest : public testing::TestWithParam<Case> {};

// What `systemd-analyze calendar --base-time` says of each, too.
INSTANTIATE_TEST_SUITE_P(
    All, CalendarTest,
    testing::Values(
        Case{"daily", "2026-11-27T15:00:00Z", "2026-11-28T00:00:00.000Z"},
        Case{"hourly", "2026-11-27T15:00:00Z", "2026-11-27T16:00:00.000Z"},
        Case{"Hourly", "2026-11-27T15:59:59Z", "2026-11-27T16:00:00.000Z"},
        Case{"minutely", "2026-11-27T23:59:30Z", "2026-11-28T00:00:00.000Z"},
        Case{"weekly", "2026-11-27T15:00:00Z", "2026-11-30T00:00:00.000Z"},
        Case{"monthly", "2026-12-27T15:00:00Z", "2027-01-01T00:00:00.000Z"},
        Case{"quarterly", "2026-11-27T15:00:00Z", "2027-01-01T00:00:00.000Z"},
        Case{"yearly", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00.000Z"},
        Case{"Mon..Fri 22:00", "2026-11-27T22:00:00Z", "2026-11-30T22:00:00.000Z"},
        Case{"Fri..Mon 22:00", "2026-11-24T22:00:00Z", "2026-11-27T22:00:00.000Z"},
        Case{"Sat,sunday 4:00", "2026-11-27T22:00:00Z", "2026-11-28T04:00:00.000Z"},
        Case{"Sun", "2026-11-27T22:00:00Z", "2026-11-29T00:00:00.000Z"},
        Case{"*-*-01 03:30", "2026-11-27T22:00:00Z", "2026-12-01T03:30:00.000Z"},
        Case{"*:0/15", "2026-11-27T22:15:00Z", "2026-11-27T22:30:00.000Z"},
        Case{"*:0/15", "2026-11-27T22:14:59Z", "2026-11-27T22:15:00.000Z"},
        Case{"8..18/2:00", "2026-11-27T16:30:00Z", "2026-11-27T18:00:00.000Z"},
        Case{"12-24 18:00:05", "2026-11-27T16:30:00Z", "2026-12-24T18:00:05.000Z"},
        Case{"2028-02-29 12:00 UTC", "2026-11-27T16:30:00Z", "2028-02-29T12:00:00.000Z"},
        Case{"*-02-29", "2026-11-27T16:30:00Z", "2028-02-29T00:00:00.000Z"},
        Case{"*-*~01 23:00", "2027-02-01T00:00:00Z", "2027-02-28T23:00:00.000Z"},
        Case{"*-02~01 23:00", "2028-02-01T00:00:00Z", "2028-02-29T23:00:00.000Z"},
        Case{"Mon *-*-01..07 01:00", "2026-11-27T16:30:00Z", "2026-12-07T01:00:00.000Z"},
        Case{"2027..2029/2-01-01", "2027-01-01T00:00:00Z", "2029-01-01T00:00:00.000Z"},
        Case{"*-02-30", "2026-11-27T16:30:00Z", "never"},
        Case{"2020-01-01", "2026-11-27T16:30:00Z", "never"}));

TEST_P(CalendarTest, SaysWhenItIsNext) {
  EXPECT_EQ(NextOf(GetParam().calendar, GetParam().after), GetParam().next);
}

TEST(Calendar, RefusesWhatIsNoTimeWithTheReason) {
  const auto message = [](std::string_view text) {
    return Calendar::Parse(text).status().message();
  };
  EXPECT_NE(message("dayly").find("\"dayly\" is no day of the week"), std::string::npos);
  EXPECT_NE(message("25:00").find("\"25\" is no hour (0 to 23)"), std::string::npos);
  EXPECT_NE(message("*-13-01").find("\"13\" is no month (1 to 12)"), std::string::npos);
  EXPECT_NE(message("*-*-00").find("\"00\" is no day (1 to 31)"), std::string::npos);
  EXPECT_NE(message("*:0/0").find("no good step"), std::string::npos);
  EXPECT_NE(message("18..8:00").find("is no hour"), std::string::npos);
  EXPECT_NE(message("").find("it is empty"), std::string::npos);
  EXPECT_NE(message("1:00 Mon").find("\"Mon\" is not expected there"), std::string::npos);
  EXPECT_NE(message("1:00 2:00").find("\"2:00\" is not expected there"), std::string::npos);
  for (const std::string_view text : {"1:2:3:4", "1-2-3-4", ",", "Mon,", "..", "*:", ":", "-", "~",
                                      "-1:00", "1..:00", "/:00", "*/:00", "99999999999:00"}) {
    EXPECT_FALSE(Calendar::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Calendar::Parse(std::string(Calendar::kTextBytesMax + 1, '1')).ok());
}

TEST(Calendar, GoesOnFromItsOwnAnswers) {
  const Calendar calendar = Calendar::Parse("Tue,Thu *:7/20:30").value();
  base::WallTime time{};
  for (int i = 0; i < 1000; ++i) {
    const auto next = calendar.Next(time);
    ASSERT_TRUE(next);
    ASSERT_GT(*next, time);
    ASSERT_EQ(next->unix_ms % 1000, 0);
    time = *next;
  }
}

}  // namespace
}  // namespace understudy::cluster
