// SPDX-License-Identifier: Apache-2.0
#include "backup/prune.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "backup/backup_chain.h"

namespace understudy::backup {
namespace {

constexpr int64_t kDayMs = 86'400'000;

// Goes through the rules; the first that keeps a backup gives the reason.
class Planner {
 public:
  Planner(const BackupList& list, const PruneRules& rules) : list_(list), rules_(rules) {
    for (const BackupDocument& document : list.backups) {
      if (SeemsGood(list, document)) good_.insert(document.id);
      newest_ = std::max(newest_, document.completed);
    }
  }

  std::vector<PruneDecision> Run() {
    KeepMarked();
    KeepLast();
    KeepByCount();
    KeepByAge();
    KeepBases();
    std::vector<PruneDecision> plan;
    for (const BackupDocument& document : list_.backups) {
      const auto why = why_.find(document.id);
      const bool keep = why != why_.end();
      plan.push_back({document, keep, keep ? why->second : WhyNot(document)});
    }
    return plan;
  }

 private:
  void Keep(const BackupDocument& document, std::string why) {
    why_.emplace(document.id, std::move(why));
  }

  void KeepMarked() {
    for (const BackupDocument& document : list_.backups) {
      if (list_.kept.contains(document.id)) Keep(document, "marked to be kept");
    }
  }

  void KeepLast() {
    const BackupDocument* full = nullptr;
    const BackupDocument* any = nullptr;
    for (const BackupDocument& document : list_.backups) {
      if (!good_.contains(document.id)) continue;
      if (any == nullptr || document.position > any->position) any = &document;
      if (IsIncrement(document.type)) continue;
      if (full == nullptr || document.position > full->position) full = &document;
    }
    if (full != nullptr) Keep(*full, "the last good full backup");
    if (any != nullptr) Keep(*any, "the newest good backup");
  }

  void KeepByCount() {
    if (rules_.keep_full == 0) return;
    std::set<std::string> roots;
    for (const BackupDocument& document : list_.backups) {  // newest first
      if (document.type != BackupType::kFull || !good_.contains(document.id)) continue;
      if (roots.size() == rules_.keep_full) break;
      roots.insert(document.id);
      Keep(document, fmt::format("one of the {} newest good full backups", rules_.keep_full));
    }
    for (const BackupDocument& document : list_.backups) {
      if (!IsIncrement(document.type)) continue;
      const auto chain = ChainOf(list_, document);
      if (!chain.ok() || !roots.contains(chain->front().id)) continue;
      Keep(document, fmt::format("based on {}, one of the {} newest good full backups",
                                 chain->front().id, rules_.keep_full));
    }
  }

  void KeepByAge() {
    if (rules_.keep_days == 0) return;
    for (const BackupDocument& document : list_.backups) {
      if (AgeMs(document) >= rules_.keep_days * kDayMs) continue;
      Keep(document,
           fmt::format("completed less than {} days before the newest backup", rules_.keep_days));
    }
  }

  void KeepBases() {
    // Bases of bases too; a document's base is older, so as often as there are backups is enough.
    for (size_t round = 0; round < list_.backups.size(); ++round) {
      bool more = false;
      for (const BackupDocument& document : list_.backups) {
        if (!why_.contains(document.id) || document.base.empty()) continue;
        for (const BackupDocument& base : list_.backups) {
          if (base.id != document.base || why_.contains(base.id)) continue;
          Keep(base, fmt::format("backup {} is based on it", document.id));
          more = true;
        }
      }
      if (!more) return;
    }
  }

  int64_t AgeMs(const BackupDocument& document) const {
    return newest_.unix_ms - document.completed.unix_ms;
  }

  std::string WhyNot(const BackupDocument& document) const {
    const std::string age =
        fmt::format("completed {} days before the newest backup", AgeMs(document) / kDayMs);
    if (!good_.contains(document.id)) return age + ", and not known to be good";
    if (rules_.keep_full != 0 && document.type == BackupType::kFull) {
      return fmt::format("{} newer full backups are kept; it was {}", rules_.keep_full, age);
    }
    return age;
  }

  const BackupList& list_;
  const PruneRules& rules_;
  std::set<std::string> good_;
  base::WallTime newest_;
  std::map<std::string, std::string> why_;  // of those that stay
};

// Each before the one that it is based on.
std::vector<const BackupDocument*> InOrderOfRemoval(const BackupList& list,
                                                    const std::vector<PruneDecision>& plan) {
  std::vector<std::pair<size_t, const BackupDocument*>> depths;
  for (const PruneDecision& decision : plan) {
    if (decision.keep) continue;
    size_t depth = 0;
    std::string base = decision.document.base;
    while (!base.empty() && depth < list.backups.size()) {
      ++depth;
      const auto next = std::find_if(list.backups.begin(), list.backups.end(),
                                     [&](const BackupDocument& d) { return d.id == base; });
      base = next == list.backups.end() ? "" : next->base;
    }
    depths.emplace_back(depth, &decision.document);
  }
  std::stable_sort(depths.begin(), depths.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<const BackupDocument*> order;
  for (const auto& [depth, document] : depths) order.push_back(document);
  return order;
}

}  // namespace

std::vector<PruneDecision> PlanPrune(const BackupList& list, const PruneRules& rules) {
  return Planner(list, rules).Run();
}

base::Result<std::vector<PruneDecision>> Prune(const Repository& repository,
                                               const std::string& database,
                                               const PruneOptions& options) {
  if (options.rules.keep_full == 0 && options.rules.keep_days == 0) {
    return base::InvalidArgument("no rule says what is to stay; give --keep-full or --keep-days");
  }
  std::unique_ptr<RepositoryLock> lock;
  if (!options.dry_run) {
    ASSIGN_OR_RETURN(lock, repository.LockDatabase(database));
  }
  ASSIGN_OR_RETURN(const BackupList list, repository.List(database));
  if (!list.unreadable.empty()) {
    return base::Corruption(fmt::format(
        "{} cannot be read ({}), and may be based on what would go; repair or remove it first",
        list.unreadable.front().path, list.unreadable.front().status.message()));
  }
  std::vector<PruneDecision> plan = PlanPrune(list, options.rules);
  if (options.dry_run) return plan;
  for (const BackupDocument* document : InOrderOfRemoval(list, plan)) {
    RETURN_IF_ERROR(lock->Check());
    RETURN_IF_ERROR(repository.RemoveDocument(*document));
  }
  RETURN_IF_ERROR(lock->Check());
  RETURN_IF_ERROR(repository.RemoveLeftovers(database));
  return plan;
}

}  // namespace understudy::backup
