// SPDX-License-Identifier: Apache-2.0
// BackupSource: which copy of a database a backup reads, from a policy and what is known of the
// copies at one moment (docs/design/0015-truncation-and-sources.md).
//
// A policy is a list of items, the most wanted first: the first item with an eligible copy decides.
//
//   passive          the best passive copy: healthiest, then most current
//   passive:SERVER   the copy on SERVER, while it is passive
//   least-loaded     of the passive copies, the one whose server has least to do
//   active           the active copy
//   SERVER           the copy on SERVER, whatever its role; a suspended one too
//
// A lagged copy comes after everything else that the policy allows, unless an item names its
// server. Every copy gets a verdict, a whole sentence; that is what `understudy backup run
// --explain` prints. Threading: values and pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"

namespace understudy::cluster {

inline constexpr size_t kSourceItemsMax = 32;

struct SourceItem {
  enum class Kind { kPassive, kPassiveOn, kLeastLoaded, kActive, kServer };
  Kind kind = Kind::kPassive;
  std::string server;  // of kPassiveOn and kServer

  bool names_server() const { return kind == Kind::kPassiveOn || kind == Kind::kServer; }
  bool operator==(const SourceItem&) const = default;
};
using SourcePolicy = std::vector<SourceItem>;

// "passive:s3,least-loaded,active". kInvalidArgument says what an item can be.
base::Result<SourcePolicy> ParseSourcePolicy(std::string_view text);
std::string ToString(const SourceItem& item);
std::string ToString(const SourcePolicy& policy);

// What a server has to do; compared member by member.
struct ServerLoad {
  uint64_t backups = 0;  // that run there, of any database
  uint64_t seeds = 0;    // that it gives
  uint64_t mounted = 0;  // active copies there
};

// One copy, as its server says at this moment.
struct SourceView {
  std::string server;
  bool active = false;
  bool server_alive = false;  // has a lease
  bool in_maintenance = false;
  bool answered = false;
  bool here = false;  // on the server that decides
  std::string state;
  base::Duration replay_lag{};
  base::Position replayed;
  ServerLoad load;
};

struct SourceCandidate {
  std::string server;
  bool active = false;
  std::string state;
  bool eligible = false;
  std::string item;  // of the policy, that it is eligible for
  std::string verdict;
};

struct SourceChoice {
  std::vector<SourceCandidate> candidates;  // best first, then those that are not eligible
  // Empty: none is eligible.
  std::string server() const {
    return !candidates.empty() && candidates.front().eligible ? candidates.front().server : "";
  }
};

SourceChoice ChooseSource(const SourcePolicy& policy, const std::vector<SourceView>& copies);
// "s2: …; s3: …" for one sentence.
std::string Explain(const SourceChoice& choice);

}  // namespace understudy::cluster
