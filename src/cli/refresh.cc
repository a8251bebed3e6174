// SPDX-License-Identifier: Apache-2.0
#include "cli/refresh.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/pause.h"

namespace understudy::cli {
namespace {

constexpr std::string_view kHome = "\x1b[H\x1b[2J";
constexpr std::array<std::string_view, 8> kBars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

}  // namespace

base::Status Refresh(Context& context, const RefreshOptions& options,
                     const std::function<base::Status()>& show) {
  const bool terminal = context.output().options().out_terminal && !context.output().json();
  for (uint64_t round = 1;; ++round) {
    if (terminal) context.output().Text(kHome);
    if (!terminal && round > 1 && !context.output().json()) context.output().Text("\n");
    const base::Status shown = show();
    if (!shown.ok() && round == 1) return shown;
    if (!shown.ok()) context.output().Failure(shown, "it is asked again");
    if (context.output().broken() || round == options.count) return {};
    const base::SteadyTime next = context.env().Now() + options.every;
    while (context.env().Now() < next) Pause(next - context.env().Now());
  }
}

void AddRefresh(CLI::App& app, const std::string& name, std::optional<base::Duration>& every,
                uint64_t& count) {
  AddDuration(app, name, every, "how long between two looks (default 2s)");
  app.add_option("--count", count, "end after so many (default: with the process)")->type_name("N");
}

std::string Sparkline(const std::vector<uint64_t>& values) {
  if (values.empty()) return {};
  const uint64_t most = std::max<uint64_t>(std::ranges::max(values), 1);
  std::string line;
  for (const uint64_t value : values) {
    const auto level = static_cast<size_t>(static_cast<double>(value) / static_cast<double>(most) *
                                           (kBars.size() - 1));
    line += kBars[std::min(level, kBars.size() - 1)];
  }
  return line;
}

}  // namespace understudy::cli
