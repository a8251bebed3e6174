// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "cluster/activation.h"

namespace understudy::cluster {
namespace {

using Kind = SourceItem::Kind;
constexpr std::string_view kPassiveOnPrefix = "passive:";

base::Result<SourceItem> ParseItem(std::string_view text) {
  if (text == "passive") return SourceItem{Kind::kPassive, ""};
  if (text == "least-loaded") return SourceItem{Kind::kLeastLoaded, ""};
  if (text == "active") return SourceItem{Kind::kActive, ""};
  const bool passive_on = text.starts_with(kPassiveOnPrefix);
  const std::string server(passive_on ? text.substr(kPassiveOnPrefix.size()) : text);
  if (!base::CheckName("server name", server).ok()) {
    return base::InvalidArgument(
        fmt::format("\"{}\" is no source of a backup: an item is passive, passive:SERVER, "
                    "least-loaded, active or a server's name",
                    text));
  }
  return SourceItem{passive_on ? Kind::kPassiveOn : Kind::kServer, server};
}

// How good a source a passive copy is; 0: none. Its consistency point is its own position, so it
// need not be connected. Not PageRepair: a wrong page must not be stored.
int HealthOf(const std::string& state) {
  if (state == "Healthy" || state == "SeedingSource") return 3;
  if (state == "DisconnectedAndHealthy") return 2;
  if (state == "Resynchronizing" || state == "DisconnectedAndResynchronizing") return 1;
  return 0;
}

bool Means(const SourceItem& item, const SourceView& copy) {
  switch (item.kind) {
    case Kind::kPassive:
    case Kind::kLeastLoaded: return !copy.active;
    case Kind::kPassiveOn: return !copy.active && copy.server == item.server;
    case Kind::kActive: return copy.active;
    case Kind::kServer: return copy.server == item.server;
  }
  return false;
}

// Why it cannot be read for that item; empty: it can.
std::string Judge(const SourceItem& item, const SourceView& copy) {
  if (!copy.server_alive) return "its server has no lease";
  if (!copy.answered) return "its server does not answer";
  if (copy.active) return copy.state == "Mounted" ? "" : fmt::format("it is {}", copy.state);
  if (HealthOf(copy.state) > 0) return "";
  if (copy.state == "Suspended") {
    return item.kind == Kind::kServer
               ? ""
               : "it is Suspended, and is read only if the policy names its server";
  }
  return fmt::format("it is {}", copy.state);
}

std::string JobsText(const ServerLoad& load) {
  return fmt::format("its server runs {} backups, gives {} seeds and has {} active copies",
                     load.backups, load.seeds, load.mounted);
}

struct Rated {
  SourceCandidate candidate;
  const SourceView* copy = nullptr;
  size_t item = 0;       // of the policy
  bool by_load = false;  // that item goes by load
  bool lagged = false;   // and no item names it
};

bool IsBetter(const Rated& a, const Rated& b) {
  if (a.candidate.eligible != b.candidate.eligible) return a.candidate.eligible;
  if (a.candidate.eligible) {
    if (a.lagged != b.lagged) return b.lagged;
    if (a.item != b.item) return a.item < b.item;
    const auto key = [](const Rated& rated) {
      const SourceView& copy = *rated.copy;
      const ServerLoad load = rated.by_load ? copy.load : ServerLoad();
      return std::tuple(copy.in_maintenance, -HealthOf(copy.state), load.backups, load.seeds,
                        load.mounted);
    };
    if (key(a) != key(b)) return key(a) < key(b);
    if (a.copy->replayed != b.copy->replayed) return a.copy->replayed > b.copy->replayed;
    if (a.copy->here != b.copy->here) return a.copy->here;
  }
  return a.candidate.server < b.candidate.server;
}

std::string Praise(const Rated& rated, const SourceItem& item) {
  const SourceView& copy = *rated.copy;
  std::string text = fmt::format("the {} copy, {}, has everything up to {}; by item {}",
                                 copy.active ? "active" : "passive", copy.state,
                                 base::ToString(copy.replayed), ToString(item));
  if (rated.by_load) text += "; " + JobsText(copy.load);
  if (copy.in_maintenance) text += "; its server is in maintenance, so it comes after others";
  if (rated.lagged) {
    text +=
        fmt::format("; it lags by {}, so it comes after everything else", LagText(copy.replay_lag));
  }
  return text;
}

Rated Rate(const SourcePolicy& policy, const SourceView& copy) {
  Rated rated;
  rated.copy = &copy;
  rated.candidate.server = copy.server;
  rated.candidate.active = copy.active;
  rated.candidate.state = copy.state;
  std::string refused;
  for (size_t i = 0; i < policy.size(); ++i) {
    if (!Means(policy[i], copy)) continue;
    const std::string why = Judge(policy[i], copy);
    if (!why.empty()) {
      refused = why;
      continue;
    }
    rated.item = i;
    rated.by_load = policy[i].kind == Kind::kLeastLoaded;
    rated.lagged = !copy.active && copy.replay_lag > base::Duration(0) && !policy[i].names_server();
    rated.candidate.eligible = true;
    rated.candidate.item = ToString(policy[i]);
    rated.candidate.verdict = Praise(rated, policy[i]);
    return rated;
  }
  rated.candidate.verdict =
      !refused.empty() ? refused
                       : fmt::format("it is the {} copy, which the policy {} does not allow",
                                     copy.active ? "active" : "passive", ToString(policy));
  return rated;
}

}  // namespace

base::Result<SourcePolicy> ParseSourcePolicy(std::string_view text) {
  SourcePolicy policy;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, comma - begin);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    ASSIGN_OR_RETURN(SourceItem parsed, ParseItem(item));
    if (policy.size() == kSourceItemsMax) {
      return base::InvalidArgument(
          fmt::format("a list of sources has at most {} items", kSourceItemsMax));
    }
    policy.push_back(std::move(parsed));
    begin = comma + 1;
  }
  return policy;
}

std::string ToString(const SourceItem& item) {
  switch (item.kind) {
    case Kind::kPassive: return "passive";
    case Kind::kPassiveOn: return std::string(kPassiveOnPrefix) + item.server;
    case Kind::kLeastLoaded: return "least-loaded";
    case Kind::kActive: return "active";
    case Kind::kServer: return item.server;
  }
  return "";
}

std::string ToString(const SourcePolicy& policy) {
  std::string text;
  for (const SourceItem& item : policy) text += (text.empty() ? "" : ",") + ToString(item);
  return text;
}

SourceChoice ChooseSource(const SourcePolicy& policy, const std::vector<SourceView>& copies) {
  std::vector<Rated> rated;
  rated.reserve(copies.size());
  for (const SourceView& copy : copies) rated.push_back(Rate(policy, copy));
  std::sort(rated.begin(), rated.end(), IsBetter);
  SourceChoice choice;
  for (Rated& one : rated) choice.candidates.push_back(std::move(one.candidate));
  return choice;
}

std::string Explain(const SourceChoice& choice) {
  return ListVerdicts(choice.candidates, "it has no copy");
}

}  // namespace understudy::cluster
