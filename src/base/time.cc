// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include <fmt/format.h>

#include <string_view>

namespace understudy::base {
namespace {

using Days = std::chrono::sys_days;

constexpr int64_t kMsPerDay = 86'400'000;

// Takes a text apart strictly: sscanf would accept signs, spaces and missing digits.
class FormReader {
 public:
  explicit FormReader(std::string_view text) : rest_(text) {}

  bool Literal(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Exactly `count` digits.
  bool Digits(size_t count, int& number) {
    number = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!AtDigit()) return false;
      number = number * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    return true;
  }
  // One or more digits after the point, as milliseconds; further digits are dropped.
  bool Fraction(int& ms) {
    int scale = 100;
    if (!AtDigit()) return false;
    for (; AtDigit(); rest_.remove_prefix(1), scale /= 10) ms += (rest_.front() - '0') * scale;
    return true;
  }
  bool done() const { return rest_.empty(); }
  bool AtDigit() const { return !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; }

 private:
  std::string_view rest_;
};

}  // namespace

std::string ToRfc3339(WallTime time) {
  int64_t days = time.unix_ms / kMsPerDay;
  int64_t ms = time.unix_ms % kMsPerDay;
  if (ms < 0) {
    ms += kMsPerDay;
    --days;
  }
  const std::chrono::year_month_day date{Days{std::chrono::days{days}}};
  return fmt::format("{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}.{:03d}Z",
                     static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), ms / 3'600'000, ms / 60'000 % 60,
                     ms / 1000 % 60, ms % 1000);
}

Result<WallTime> FromRfc3339(std::string_view text) {
  const Status bad = InvalidArgument(fmt::format(
      "'{}' is not a time: the form 2026-03-01T09:30:00Z or 2026-03-01T09:30:00.125Z is expected",
      text));
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0;
  FormReader form(text);
  const bool date_and_time = form.Digits(4, year) && form.Literal('-') && form.Digits(2, month) &&
                             form.Literal('-') && form.Digits(2, day) && form.Literal('T') &&
                             form.Digits(2, hour) && form.Literal(':') && form.Digits(2, minute) &&
                             form.Literal(':') && form.Digits(2, second);
  if (!date_and_time || (form.Literal('.') && !form.Fraction(ms)) || !form.Literal('Z')) return bad;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!form.done() || !date.ok() || hour > 23 || minute > 59 || second > 60) return bad;
  const int64_t days = Days{date}.time_since_epoch().count();
  return WallTime{days * kMsPerDay + ((hour * 60LL + minute) * 60 + second) * 1000 + ms};
}

}  // namespace understudy::base
