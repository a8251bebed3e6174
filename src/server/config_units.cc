// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "server/config.h"

namespace understudy::server {
namespace {

using base::InvalidArgument;

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr std::array<Unit, 8> kSizeUnits = {{{"", 1},
                                             {"B", 1},
                                             {"KiB", 1ull << 10},
                                             {"MiB", 1ull << 20},
                                             {"GiB", 1ull << 30},
                                             {"KB", 1'000},
                                             {"MB", 1'000'000},
                                             {"GB", 1'000'000'000}}};
constexpr std::array<Unit, 5> kTimeUnits = {{{"ms", 1'000'000},
                                             {"s", 1'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"h", 3'600'000'000'000},
                                             {"d", 86'400'000'000'000}}};

template <size_t kCount>
base::Result<uint64_t> ParseWithUnit(std::string_view text, const std::array<Unit, kCount>& units,
                                     std::string_view allowed) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const auto found = std::find_if(units.begin(), units.end(),
                                  [&](const Unit& candidate) { return candidate.name == unit; });
  if (error != std::errc() || found == units.end() || number > (1ull << 62) / found->factor) {
    return InvalidArgument(fmt::format("\"{}\" is not {}", text, allowed));
  }
  return number * found->factor;
}

}  // namespace

base::Result<uint64_t> ParseSize(std::string_view text) {
  return ParseWithUnit(text, kSizeUnits,
                       "a size such as 1048576, \"64KiB\", \"256MiB\" or \"1GB\"");
}

base::Result<base::Duration> ParseDuration(std::string_view text) {
  ASSIGN_OR_RETURN(const uint64_t nanoseconds,
                   ParseWithUnit(text, kTimeUnits, "a time such as \"500ms\", \"2s\" or \"5m\""));
  return base::Duration(static_cast<int64_t>(nanoseconds));
}

}  // namespace understudy::server
