// SPDX-License-Identifier: Apache-2.0
#include "cluster/calendar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

namespace understudy::cluster {
namespace {

using std::chrono::year_month_day;

constexpr int64_t kDaySeconds = 86'400;
constexpr std::array<std::string_view, 7> kWeekdays = {"sunday",   "monday", "tuesday", "wednesday",
                                                       "thursday", "friday", "saturday"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kShorthands = {{
    {"minutely", "*:*:00"},
    {"hourly", "*:00:00"},
    {"daily", "*-*-* 00:00:00"},
    {"weekly", "Mon *-*-* 00:00:00"},
    {"monthly", "*-*-01 00:00:00"},
    {"quarterly", "*-01,04,07,10-01 00:00:00"},
    {"yearly", "*-01-01 00:00:00"},
    {"annually", "*-01-01 00:00:00"},
}};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return lower;
}

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int> Number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "mon", "Monday"
std::optional<int> Weekday(std::string_view text) {
  const std::string name = Lower(text);
  for (size_t day = 0; day < kWeekdays.size(); ++day) {
    if (name == kWeekdays[day] || name == kWeekdays[day].substr(0, 3)) return static_cast<int>(day);
  }
  return std::nullopt;
}

}  // namespace

class CalendarReader {
 public:
  base::Result<Calendar> Read(std::string_view text) {
    text_ = text;
    std::string written(text);
    for (const auto& [name, meaning] : kShorthands) {
      if (Lower(text) == name) written = meaning;
    }
    calendar_.weekdays_.set();
    Date("*-*-*");
    Time("00:00:00");
    std::string_view rest = written;
    if (rest.ends_with(" UTC")) rest.remove_suffix(4);
    Parts(rest);
    if (wrong_.empty()) return calendar_;
    return base::InvalidArgument(
        fmt::format("\"{}\" is no time of a calendar: {}\nsuch are \"daily\", \"Mon..Fri 22:00\", "
                    "\"*-*-01 03:30\" and \"*:0/15\", in UTC",
                    text_, wrong_));
  }

 private:
  void Parts(std::string_view text) {
    bool any = false;
    bool date = false;
    bool time = false;
    for (const std::string_view part : Split(text, ' ')) {
      if (part.empty()) continue;
      if (part.find(':') != std::string_view::npos && !std::exchange(time, true)) {
        Time(part);
      } else if (part.find_first_of("-~") != std::string_view::npos && !time &&
                 !std::exchange(date, true)) {
        Date(part);
      } else if (!any) {
        Weekdays(part);
      } else {
        Wrong(fmt::format("\"{}\" is not expected there", part));
      }
      any = true;
    }
    if (!any) Wrong("it is empty");
  }

  void Weekdays(std::string_view text) {
    calendar_.weekdays_.reset();
    for (const std::string_view item : Split(text, ',')) {
      const size_t dots = item.find("..");
      const auto from = Weekday(item.substr(0, dots));
      const auto to = dots == std::string_view::npos ? from : Weekday(item.substr(dots + 2));
      if (!from || !to) return Wrong(fmt::format("\"{}\" is no day of the week", item));
      for (int day = *from;; day = (day + 1) % 7) {
        calendar_.weekdays_.set(static_cast<size_t>(day));
        if (day == *to) break;
      }
    }
  }

  void Date(std::string_view text) {
    std::string with_dash(text);
    calendar_.days_from_end_ = text.find('~') != std::string_view::npos;
    std::ranges::replace(with_dash, '~', '-');
    std::vector<std::string_view> parts = Split(with_dash, '-');
    if (parts.size() == 2) parts.insert(parts.begin(), "*");
    if (parts.size() != 3) return Wrong(fmt::format("\"{}\" is not YEAR-MONTH-DAY", text));
    Numbers(parts[0], "year", Calendar::kYearFirst, Calendar::kYearFirst, calendar_.years_);
    Numbers(parts[1], "month", 1, 0, calendar_.months_);
    Numbers(parts[2], "day", 1, 0, calendar_.days_);
  }

  void Time(std::string_view text) {
    std::vector<std::string_view> parts = Split(text, ':');
    if (parts.size() == 2) parts.emplace_back("00");
    if (parts.size() != 3) return Wrong(fmt::format("\"{}\" is not HOUR:MINUTE:SECOND", text));
    Numbers(parts[0], "hour", 0, 0, calendar_.hours_);
    Numbers(parts[1], "minute", 0, 0, calendar_.minutes_);
    Numbers(parts[2], "second", 0, 0, calendar_.seconds_);
  }

  // Sets the bits [number - base] that are meant.
  template <size_t kBits>
  void Numbers(std::string_view text, std::string_view what, int first, int base,
               std::bitset<kBits>& bits) {
    const int last = base + static_cast<int>(kBits) - 1;
    bits.reset();
    for (std::string_view item : Split(text, ',')) {
      const std::string_view whole = item;
      int step = 0;
      if (const size_t slash = item.find('/'); slash != std::string_view::npos) {
        step = Number(item.substr(slash + 1)).value_or(0);
        item = item.substr(0, slash);
        if (step < 1 || step > last) return Wrong(fmt::format("\"{}\" has no good step", whole));
      }
      const size_t dots = item.find("..");
      const bool all = item == "*";
      const auto from = all ? first : Number(item.substr(0, dots));
      const auto to = all || (step != 0 && dots == std::string_view::npos) ? last
                      : dots == std::string_view::npos                     ? from
                                                       : Number(item.substr(dots + 2));
      if (!from || !to || *from < first || *to > last || *from > *to) {
        return Wrong(fmt::format("\"{}\" is no {} ({} to {})", whole, what, first, last));
      }
      for (int n = *from; n <= *to; n += std::max(step, 1)) bits.set(static_cast<size_t>(n - base));
    }
  }

  void Wrong(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  Calendar calendar_;
  std::string_view text_;
  std::string wrong_;
};

base::Result<Calendar> Calendar::Parse(std::string_view text) {
  if (text.size() > kTextBytesMax) {
    return base::InvalidArgument(
        fmt::format("a time of a calendar has {} characters at most", kTextBytesMax));
  }
  return CalendarReader().Read(text);
}

bool Calendar::MatchesDay(int64_t day) const {
  const std::chrono::sys_days at{std::chrono::days(day)};
  const year_month_day date(at);
  const int year = static_cast<int>(date.year());
  if (year < kYearFirst || year > kYearLast) return false;
  auto of_month = static_cast<unsigned>(date.day());
  if (days_from_end_) {
    const std::chrono::year_month_day_last end(date.year(), date.month() / std::chrono::last);
    of_month = static_cast<unsigned>(end.day()) - of_month + 1;
  }
  return weekdays_[std::chrono::weekday(at).c_encoding()] &&
         years_[static_cast<size_t>(year - kYearFirst)] &&
         months_[static_cast<unsigned>(date.month())] && days_[of_month];
}

std::optional<int64_t> Calendar::NextInDay(int64_t from) const {
  for (int64_t hour = from / 3600; hour < 24; ++hour) {
    if (!hours_[static_cast<size_t>(hour)]) continue;
    for (int64_t minute = std::max<int64_t>(from - hour * 3600, 0) / 60; minute < 60; ++minute) {
      if (!minutes_[static_cast<size_t>(minute)]) continue;
      const int64_t at = hour * 3600 + minute * 60;
      for (int64_t second = std::max<int64_t>(from - at, 0); second < 60; ++second) {
        if (seconds_[static_cast<size_t>(second)]) return at + second;
      }
    }
  }
  return std::nullopt;
}

std::optional<base::WallTime> Calendar::Next(base::WallTime time) const {
  const int64_t after = std::max<int64_t>(time.unix_ms, 0) / 1000 + 1;
  const int64_t first = after / kDaySeconds;
  for (int64_t day = first; day < first + kYearsMax * 366; ++day) {
    if (!MatchesDay(day)) continue;
    const auto at = NextInDay(day == first ? after % kDaySeconds : 0);
    if (at) return base::WallTime{(day * kDaySeconds + *at) * 1000};
  }
  return std::nullopt;
}

}  // namespace understudy::cluster
