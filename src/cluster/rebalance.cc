// SPDX-License-Identifier: Apache-2.0
#include "cluster/rebalance.h"

#include <fmt/format.h>

#include <algorithm>

namespace understudy::cluster {
namespace {

// "mount" is a daemon's restart, "switchover" and "maintenance" are a person's.
bool IsAutomatic(const std::string& reason) {
  return reason == "failover" || reason == "preference";
}

std::string JudgeTarget(const DatabaseView& view, const std::string& to) {
  Selection how;
  how.dial = MountDial::kBest;  // a switchover loses nothing, or is not made
  how.only = to;
  const Choice choice = ChooseBestCopy(view, how);
  const auto found = std::find_if(choice.candidates.begin(), choice.candidates.end(),
                                  [&](const Candidate& c) { return c.server == to; });
  if (found == choice.candidates.end()) return "it has no passive copy there";
  if (!found->eligible) return found->verdict;
  if (found->replay_lag > base::Duration(0)) {
    return fmt::format("it lags by {}, so it does not have everything", LagText(found->replay_lag));
  }
  if (found->missing > kRebalanceMissingMax) {
    return fmt::format("it lacks {} records; at most {} are waited for", found->missing,
                       kRebalanceMissingMax);
  }
  return "";
}

}  // namespace

std::string PreferredServer(const DatabaseRecord& record) {
  const CopyRecord* best = nullptr;
  bool shared = false;
  for (const CopyRecord& copy : record.copies) {
    if (copy.preference == 0) continue;
    if (best == nullptr || copy.preference < best->preference) {
      best = &copy;
      shared = false;
    } else if (copy.preference == best->preference) {
      shared = true;
    }
  }
  return best == nullptr || shared ? "" : best->server;
}

base::Duration MoveRest(const std::vector<TermStart>& history, base::WallTime now) {
  int moves = 0;
  int64_t since_last_ms = 0;
  for (const TermStart& term : history) {
    // A clock that was set back makes a move look like one of just now: it only waits longer.
    const int64_t age_ms = std::max<int64_t>(now.unix_ms - term.time.unix_ms, 0);
    if (!IsAutomatic(term.reason) || age_ms >= std::chrono::milliseconds(kMovesCounted).count()) {
      continue;
    }
    since_last_ms = moves == 0 ? age_ms : std::min(since_last_ms, age_ms);
    ++moves;
  }
  if (moves == 0) return {};
  const base::Duration rest =
      std::min<base::Duration>(kMoveRestMax, kMoveRestMin * (1 << std::min(moves - 1, 10)));
  return std::max<base::Duration>(rest - std::chrono::milliseconds(since_last_ms), {});
}

std::optional<PreferenceMove> JudgePreference(const DatabaseView& view, base::WallTime now,
                                              bool by_person) {
  PreferenceMove move;
  move.database = view.record.name;
  move.from = view.record.active;
  move.to = PreferredServer(view.record);
  if (move.to.empty() || move.to == move.from) return std::nullopt;
  const base::Duration rest = by_person ? base::Duration(0) : MoveRest(view.record.history, now);
  if (view.record.dismounted) {
    move.verdict = "an administrator dismounted it";
  } else if (!view.active_alive) {
    move.verdict = fmt::format("server {} of its active copy has no lease", move.from);
  } else if (rest > base::Duration(0)) {
    move.verdict = fmt::format("it was moved a short while ago: not before {} s from now",
                               rest / std::chrono::seconds(1) + 1);
  } else {
    move.verdict = JudgeTarget(view, move.to);
  }
  move.allowed = move.verdict.empty();
  if (move.allowed) {
    move.verdict = fmt::format("{} has activation preference {}", move.to,
                               view.record.FindCopy(move.to)->preference);
  }
  return move;
}

}  // namespace understudy::cluster
