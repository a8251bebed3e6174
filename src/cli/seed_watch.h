// SPDX-License-Identifier: Apache-2.0
// Watches passive copies being seeded, with a progress bar, until each of them follows the log.
// Threading: confined to the main thread.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/command.h"

namespace understudy::cli {

// What the state of a passive copy means to somebody who waits for its first content.
enum class SeedOutcome { kUnderWay, kFollows, kStopped };
SeedOutcome OutcomeOf(const std::string& state);

// Returns ok when the passive copies of `database` on `servers` all follow. kTimedOut when nothing
// moves for kSeedStallLimit or --timeout ends; kUnavailable with the copy's own error when one of
// them stopped. The seeds go on whatever this returns.
inline constexpr std::chrono::seconds kSeedStallLimit{60};
base::Status WatchSeeds(Context& context, rpc::AdminClient& client, const std::string& database,
                        const std::vector<std::string>& servers);

}  // namespace understudy::cli
