// SPDX-License-Identifier: Apache-2.0
// Rebalance: which databases are active elsewhere than their copies' activation preference says,
// and whether they may be moved back now without a person. Such a move is a switchover: nothing is
// lost and applications wait for a moment, so it is made only to a copy that is as good, and not
// soon after other moves (docs/design/0006-who-is-active.md, flapping).
//
// Threading: values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/activation.h"

namespace understudy::cluster {

// After an automatic move the next one that no outage demands waits for kMoveRestMin, doubled for
// every further automatic move within kMovesCounted, up to kMoveRestMax.
inline constexpr std::chrono::seconds kMoveRestMin{10};
inline constexpr std::chrono::seconds kMoveRestMax{600};
inline constexpr std::chrono::seconds kMovesCounted{3600};
// A copy that lacks more than this when it is looked at is not moved to.
inline constexpr uint64_t kRebalanceMissingMax = 1000;

// The server whose copy has the lowest number; empty: none has one, or two share it.
std::string PreferredServer(const DatabaseRecord& record);

// How long automatic moves of a database with this history are put off still.
base::Duration MoveRest(const std::vector<TermStart>& history, base::WallTime now);

struct PreferenceMove {
  std::string database;
  std::string from;
  std::string to;
  bool allowed = false;
  std::string verdict;  // a sentence
};
// Nothing: the database is where it should be. `by_person`: no rest is kept.
std::optional<PreferenceMove> JudgePreference(const DatabaseView& view, base::WallTime now,
                                              bool by_person);

}  // namespace understudy::cluster
