// SPDX-License-Identifier: Apache-2.0
#include "web/lag.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace understudy::web {
namespace {

constexpr std::pair<std::string_view, int64_t> kUnits[] = {
    {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};
constexpr uint64_t kNumberMax = 1'000'000;  // of a time: some forty days in the largest unit

int64_t Milliseconds(base::Duration time) { return time / std::chrono::milliseconds(1); }

}  // namespace

base::Result<Lag> ParseLag(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc()) {
    const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
    if (unit.empty()) return Lag{.commits = number, .time = {}};
    for (const auto& [name, nanoseconds] : kUnits) {
      if (unit != name || number > kNumberMax) continue;
      return Lag{.commits = {}, .time = base::Duration(static_cast<int64_t>(number) * nanoseconds)};
    }
  }
  return base::InvalidArgument(fmt::format(
      "lag is \"{}\", allowed is a number of commits such as 100 or a time such as 2s or 500ms",
      text.substr(0, 40)));
}

std::string BeyondLag(const LocalCopy& copy, LagOf what, const Lag& lag) {
  const bool copied = what == LagOf::kCopied;
  if (lag.commits) {
    if (!copy.queues_known) return "how many commits it is behind is not known";
    const uint64_t behind = copy.copy_queue + (copied ? 0 : copy.replay_queue);
    if (behind <= *lag.commits) return "";
    return fmt::format("it is {} commits behind, {} are allowed", behind, *lag.commits);
  }
  if (lag.time) {
    const std::optional<base::Duration> age = copied ? copy.copied_age : copy.replayed_age;
    if (!age) return "how long it is behind is not known";
    if (*age <= *lag.time) return "";
    return fmt::format("it is {} ms behind, {} ms are allowed", Milliseconds(*age),
                       Milliseconds(*lag.time));
  }
  return "";
}

}  // namespace understudy::web
