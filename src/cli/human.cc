// SPDX-License-Identifier: Apache-2.0
#include "cli/human.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace understudy::cli {
namespace {

constexpr std::array<std::string_view, 6> kByteUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

std::string Scaled(double value) {
  // Three significant digits at most, and no ".0" on what is a whole number anyway.
  if (value >= 99.95) return fmt::format("{:.0f}", value);
  const std::string text = fmt::format("{:.1f}", value);
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

std::string WithUnit(double bytes) {
  size_t unit = 0;
  while (bytes >= 1023.5 && unit + 1 < kByteUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{} {}", Scaled(bytes), kByteUnits[unit]);
}

// Splits "1.5 GiB" into 1.5 and "gib" (lower case); nothing if there is no number at the start.
std::optional<std::pair<double, std::string>> SplitUnit(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  std::string unit;
  for (const char c : text.substr(static_cast<size_t>(end - text.data()))) {
    if (c == ' ' && unit.empty()) continue;
    unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return std::pair(number, unit);
}

std::optional<double> ByteFactor(std::string_view unit) {
  if (unit.empty() || unit == "b") return 1.0;
  constexpr std::string_view kPrefixes = "kmgtp";
  const size_t power = kPrefixes.find(unit.front());
  const std::string_view rest = unit.substr(1);
  if (power == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) {
    return std::nullopt;
  }
  return std::pow(1024.0, static_cast<double>(power + 1));
}

std::optional<double> SecondsFactor(std::string_view unit) {
  if (unit.empty() || unit == "s" || unit == "sec") return 1.0;
  if (unit == "ms") return 0.001;
  if (unit == "us") return 0.000001;
  if (unit == "m" || unit == "min") return 60.0;
  if (unit == "h") return 3600.0;
  if (unit == "d") return 86400.0;
  return std::nullopt;
}

}  // namespace

std::string FormatBytes(uint64_t bytes) { return WithUnit(static_cast<double>(bytes)); }

std::string FormatRate(double bytes_per_second) {
  if (!std::isfinite(bytes_per_second) || bytes_per_second < 0) return "-";
  return WithUnit(bytes_per_second) + "/s";
}

std::string FormatDuration(base::Duration length) {
  const double ms = static_cast<double>(length.count()) / 1e6;
  if (ms < 1) return ms <= 0 ? "0 ms" : fmt::format("{:.2f} ms", ms);
  if (ms < 999.5) return Scaled(ms) + " ms";
  if (ms < 59'950) return Scaled(ms / 1000) + " s";
  const auto seconds = static_cast<int64_t>(std::llround(ms / 1000));
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {:02} h", seconds / 86400, seconds / 3600 % 24);
}

std::string FormatCount(uint64_t count) {
  const std::string digits = fmt::format("{}", count);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

base::Result<uint64_t> ParseBytes(std::string_view text) {
  const auto split = SplitUnit(text);
  const auto factor = split ? ByteFactor(split->second) : std::nullopt;
  // 2^63 and more cannot be a size that anybody means.
  if (!factor || split->first * *factor >= 9.2e18) {
    return base::InvalidArgument(fmt::format(
        "'{}' is not a size: a number with an optional unit is expected, such as 512, 64K or "
        "1.5GiB",
        text));
  }
  return static_cast<uint64_t>(std::llround(split->first * *factor));
}

base::Result<base::Duration> ParseDuration(std::string_view text) {
  const auto split = SplitUnit(text);
  const auto factor = split ? SecondsFactor(split->second) : std::nullopt;
  if (!factor || split->first * *factor > static_cast<double>(kDurationDaysMax) * 86400) {
    return base::InvalidArgument(
        fmt::format("'{}' is not a duration: a number with an optional unit is expected, such as "
                    "30 (seconds), 500ms, 5m or 2h, of at most {} days",
                    text, kDurationDaysMax));
  }
  return base::Duration(static_cast<int64_t>(std::llround(split->first * *factor * 1e9)));
}

}  // namespace understudy::cli
