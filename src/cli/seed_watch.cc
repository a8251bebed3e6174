// SPDX-License-Identifier: Apache-2.0
#include "cli/seed_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/human.h"
#include "cli/pause.h"
#include "cli/progress_view.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct SeedLook {
  base::Progress progress;
  size_t follow = 0;
  bool waits = false;   // for other seeds
  std::string stopped;  // a copy that will not go on by itself, and why
};

SeedLook LookAt(const v1::StatusResponse& status, const std::vector<std::string>& servers) {
  SeedLook look;
  look.progress.phase = "seeding";
  for (const auto& database : status.databases()) {
    // A seed that has not begun does not know its length yet; the active copy does.
    uint64_t size = 0;
    for (const auto& copy : database.copies()) size = std::max(size, copy.database_bytes());
    for (const auto& copy : database.copies()) {
      if (std::find(servers.begin(), servers.end(), copy.server()) == servers.end()) continue;
      SeedOutcome outcome = OutcomeOf(copy.state());
      // One that was asked for and has not begun yet: the copy still looks well.
      if (outcome == SeedOutcome::kFollows && copy.reseeding()) outcome = SeedOutcome::kUnderWay;
      if (copy.state().ends_with("Resynchronizing")) look.progress.phase = "resynchronising";
      look.waits = look.waits || !copy.seed_waits().empty();
      look.follow += outcome == SeedOutcome::kFollows ? 1 : 0;
      if (outcome == SeedOutcome::kStopped) {
        look.stopped = fmt::format("the copy on {} is {}{}{}", copy.server(), copy.state(),
                                   copy.error().empty() ? "" : ": ", copy.error());
      }
      const uint64_t total = std::max(copy.seed_bytes_total(), size);
      look.progress.bytes_total += total;
      look.progress.bytes_done += outcome == SeedOutcome::kFollows ? total : copy.seed_bytes_done();
    }
  }
  return look;
}

}  // namespace

SeedOutcome OutcomeOf(const std::string& state) {
  constexpr std::array<std::string_view, 5> kStopped = {"Failed", "FailedAndSuspended", "Suspended",
                                                        "ServiceDown", "Dismounted"};
  if (state == "Healthy" || state == "DisconnectedAndHealthy" || state == "PageRepair")
    return SeedOutcome::kFollows;
  const bool stopped = std::find(kStopped.begin(), kStopped.end(), state) != kStopped.end();
  return stopped ? SeedOutcome::kStopped : SeedOutcome::kUnderWay;
}

base::Status WatchSeeds(Context& context, rpc::AdminClient& client, const std::string& database,
                        const std::vector<std::string>& servers) {
  env::Env& env = context.env();
  ProgressView view(context.output(), env);
  const base::SteadyTime started = env.Now();
  base::SteadyTime moved = started;
  uint64_t last_done = 0;
  v1::StatusRequest request;
  request.set_database(database);
  while (true) {
    ASSIGN_OR_RETURN(const auto status, client.Status(request, rpc::kCallTimeoutDefault));
    const SeedLook look = LookAt(status, servers);
    if (look.progress.bytes_total > 0) view.Update(look.progress);
    if (look.follow == servers.size()) return {};
    const base::SteadyTime now = env.Now();
    if (look.progress.bytes_done != last_done || look.waits) moved = now;
    last_done = look.progress.bytes_done;
    const bool stalled = now - moved > kSeedStallLimit;
    if (!look.stopped.empty() && stalled) return base::Unavailable(look.stopped);
    if (stalled || now - started > context.TimeoutOr(base::Duration::max())) {
      return base::TimedOut(
          fmt::format("{} of {} copies of {} follow after {}; seeding goes on by itself",
                      look.follow, servers.size(), database, FormatDuration(now - started)));
    }
    Pause(kLookAgainAfter);
  }
}

}  // namespace understudy::cli
