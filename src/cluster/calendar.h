// SPDX-License-Identifier: Apache-2.0
// Calendar: at which times something is to be done, as people write it in systemd's timers:
//
//   [WEEKDAYS] [YEAR-MONTH-DAY] [HOUR:MINUTE[:SECOND]]
//   Mon..Fri 22:00      *-*-01 03:30      Sat,Sun 4:00      *:0/15      *-*~01 23:00
//   minutely hourly daily weekly monthly quarterly yearly
//
// Each part is *, a number, FROM..TO, or a list of these, with /STEP for every so-manieth;
// ~N counts days from the end of the month. A part that is left out is every day, and midnight.
// All times are UTC: the servers of a group may be in several zones, and no hour comes twice or is
// left out. Threading: values. Errors: kInvalidArgument says which part is wrong and shows one that
// is right.
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"

namespace understudy::cluster {

class Calendar {
 public:
  static constexpr size_t kTextBytesMax = 200;
  // A date that does not come within so many years never comes ("Feb 30").
  static constexpr int kYearsMax = 12;

  static base::Result<Calendar> Parse(std::string_view text);

  // The first time after `time`; nothing: there is none within kYearsMax.
  std::optional<base::WallTime> Next(base::WallTime time) const;

 private:
  static constexpr int kYearFirst = 1970;
  static constexpr int kYearLast = 2199;

  friend class CalendarReader;
  bool MatchesDay(int64_t day) const;  // since 1970
  // Second of the day, at or after `from`.
  std::optional<int64_t> NextInDay(int64_t from) const;

  std::bitset<7> weekdays_;  // 0: Sunday
  std::bitset<kYearLast - kYearFirst + 1> years_;
  std::bitset<13> months_;      // from 1
  std::bitset<32> days_;        // from 1
  bool days_from_end_ = false;  // 1 is the last day of the month
  std::bitset<24> hours_;
  std::bitset<60> minutes_;
  std::bitset<60> seconds_;
};

}  // namespace understudy::cluster
