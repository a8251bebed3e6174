// SPDX-License-Identifier: Apache-2.0
// Activation: what Active Manager decides. Which copy of a database is to be mounted, from what is
// known at one moment (docs/design/0006-who-is-active.md). It does nothing itself:
// server/failover_watch.h gathers the views and carries the decisions out, one database at a time.
//
// Every candidate gets a verdict, a whole sentence, whether it is chosen or not; that is what
// `understudy failover explain` prints. Threading: values and pure functions.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "cluster/records.h"

namespace understudy::cluster {

// A copy that has been tried and did not mount is left alone for so long.
inline constexpr base::Duration kTriedCopyRest = std::chrono::seconds(60);
// An active copy that stays Failed for so long is given up for another one.
inline constexpr base::Duration kMountPatience = std::chrono::seconds(15);

// One passive copy, as its server says at this moment.
struct CopyView {
  std::string server;
  bool server_alive = false;  // has a lease
  bool in_maintenance = false;
  bool answered = false;  // the following is what it says now, else what it last published
  std::string state;
  base::Position durable;
  bool connected = false;     // to the active copy's server
  base::Position source_end;  // how far the active copy's log goes, as far as it has heard
  base::Term final_term;      // the active copy has said: in this term its log ended there
  // Since the active copy's last word; nothing: it has heard none since its daemon started.
  std::optional<base::Duration> silence;
  uint64_t replay_queue = 0;  // commits that it has to replay before it can be mounted
};

struct DatabaseView {
  DatabaseRecord record;
  bool active_alive = false;
  base::Position active_published;     // durable, as the active last published it
  base::Duration active_failed_for{};  // its copy is Failed since
  std::vector<CopyView> passives;
};

struct Selection {
  MountDial dial = MountDial::kGood;
  base::Duration lease{};          // of the servers: the dial's silence counts from its end
  bool accept_any_loss = false;    // a person said so
  bool accept_any_state = false;   // a person named the target
  std::string only;                // the one target a person named; empty: any
  std::set<std::string> rested{};  // tried in vain a short while ago
};

struct Candidate {
  std::string server;
  bool eligible = false;
  std::string verdict;
  base::Position durable;
  uint64_t missing = 0;  // records known to be missing
  std::optional<base::Duration> silence;
  uint64_t preference = 0;
  base::Duration replay_lag{};  // a lagged copy comes after all others
};

struct Choice {
  std::vector<Candidate> candidates;  // best first, then those that are not eligible
  base::Position known_end;           // the farthest that anybody knows of
  // Empty: none is eligible.
  std::string target() const {
    return !candidates.empty() && candidates.front().eligible ? candidates.front().server : "";
  }
};

// Best copy selection.
Choice ChooseBestCopy(const DatabaseView& view, const Selection& how);

// Whether something has to be done about a database without a person asking, and why.
struct Need {
  enum class What {
    kNothing,
    kFailover,    // the active's server has no lease
    kGiveUpMount  // it has one, but does not get its copy mounted: it must relinquish it first
  };
  What what = What::kNothing;
  std::string why;
};
Need NeedOf(const DatabaseView& view, bool group_paused);

// "5s", "2h", "7d": the largest unit that it is a whole number of.
std::string LagText(base::Duration lag);

// "s2: …" lines for an event or a person.
std::string Explain(const Choice& choice);
// "s2: …; s3: …" of candidates that have a server and a verdict; `if_none` when there are none.
template <typename Candidates>
std::string ListVerdicts(const Candidates& candidates, std::string_view if_none) {
  std::string text;
  for (const auto& candidate : candidates) {
    if (!text.empty()) text += "; ";
    text += candidate.server + ": " + candidate.verdict;
  }
  return text.empty() ? std::string(if_none) : text;
}

}  // namespace understudy::cluster
