// SPDX-License-Identifier: Apache-2.0
// Refresh: the same again and again, in place on a terminal, one below the other elsewhere
// (status --watch, top). It ends when nobody reads it any more, after `count` times, or with the
// process. Nothing of the terminal is changed, so nothing has to be put back.
// Threading: confined to the main thread.
#pragma once

#include <functional>

#include "cli/command.h"

namespace understudy::cli {

struct RefreshOptions {
  base::Duration every = std::chrono::seconds(2);
  uint64_t count = 0;  // 0: for ever
};

// `show` prints once. Its failure is told and does not end it, unless it is the first.
base::Status Refresh(Context& context, const RefreshOptions& options,
                     const std::function<base::Status()>& show);

// --count and, under `name`, the time in between.
void AddRefresh(CLI::App& app, const std::string& name, std::optional<base::Duration>& every,
                uint64_t& count);

// "▁▂▅█": the last values, the largest of them full; nothing of no values.
std::string Sparkline(const std::vector<uint64_t>& values);

}  // namespace understudy::cli
