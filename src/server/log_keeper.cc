// SPDX-License-Identifier: Apache-2.0
#include "server/log_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ship/log_source.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr uint64_t kMiB = 1 << 20;

}  // namespace

LogRules::Of LogKeeper::Rules() const {
  if (context_.log_rules != nullptr) {
    return context_.log_rules->Database(database_, context_.server);
  }
  return LogRules().Database(database_, context_.server);
}

bool LogKeeper::WantsCheckpoint(const log::LogStore& log, std::string_view own) {
  const LogRules::Of rules = Rules();
  if (rules.backed_up.id.empty() || rules.backed_up.id == checkpoint_for_) return false;
  checkpoint_for_ = rules.backed_up.id;
  for (const log::Hold& hold : log.holds()) {
    if (hold.name == own) {
      return RemovableBytes(log.generations(), hold.seq) <
             RemovableBytes(log.generations(), rules.backed_up_to);
    }
  }
  return false;
}

void LogKeeper::SetHolds(log::LogStore& log, const LogRules::Of& rules, bool active) {
  std::vector<log::Hold> wanted = rules.holds;
  for (const auto& [server, at] : rules.passives) {
    if (active) break;  // the log source has its own, which are newer
    wanted.push_back({ship::LogSource::HoldName(server),
                      fmt::format("the passive copy on {} has told that it has everything up to "
                                  "{}, and would need the rest if this copy were mounted; goes on "
                                  "as it tells more",
                                  server, base::ToString(at)),
                      at.seq});
  }
  std::set<std::string> names;
  for (const log::Hold& hold : wanted) {
    log.SetHold(hold);
    names.insert(hold.name);
  }
  // A log is handed over with the holds that its copy's keeper of the role before has set.
  for (const log::Hold& hold : log.holds()) {
    if (IsBackupHold(hold.name)) set_.insert(hold.name);
  }
  for (const std::string& name : set_) {
    if (!names.contains(name)) log.ReleaseHold(name);
  }
  set_ = std::move(names);
}

RetentionPlan LogKeeper::Plan(log::LogStore& log, const LogRules::Of& rules, const Facts& from) {
  RetentionFacts facts;
  facts.generations = log.generations();
  facts.first = log.first_seq();
  for (log::Hold& hold : log.holds()) {
    if (hold.name != kRetentionHold && hold.name != kBackupBaseHold) {
      facts.holds.push_back(std::move(hold));
    }
  }
  facts.stragglers = from.stragglers;
  if (!from.active) {
    for (const auto& [server, at] : rules.passives) {
      facts.stragglers.insert(ship::LogSource::HoldName(server));
    }
  }
  facts.keep_bytes = from.keep_bytes;
  facts.circular = rules.circular;
  facts.backed_up = std::min(rules.backed_up_to, log.durable().seq);
  facts.straggler_bytes_max = rules.straggler_bytes_max;
  const auto space = context_.env.FreeSpace(directory_);
  facts.disk_free = space.ok() ? space->free : UINT64_MAX;
  facts.disk_free_min = rules.disk_free_min;
  return PlanRetention(facts);
}

void LogKeeper::SetPlanned(log::LogStore& log, const LogRules::Of& rules, const RetentionPlan& plan,
                           uint64_t keep_bytes) {
  if (plan.retention) {
    log.SetHold({std::string(kRetentionHold),
                 fmt::format("log that no backup has is kept, up to {} MiB (log.keep_bytes); goes "
                             "on with each full or incremental backup, and as log is written",
                             keep_bytes / kMiB),
                 *plan.retention});
  } else {
    log.ReleaseHold(std::string(kRetentionHold));
  }
  if (plan.backup_base) {
    const std::string base =
        rules.backed_up.id.empty()
            ? "there is no full or incremental backup yet"
            : fmt::format("{} backup {} is at {}", rules.backed_up.type, rules.backed_up.id,
                          base::ToString(rules.backed_up.at));
    log.SetHold({std::string(kBackupBaseHold),
                 fmt::format("circular logging is off and {}; goes on with the next full or "
                             "incremental backup, and away with understudy db set {} "
                             "--circular-logging on",
                             base, database_),
                 *plan.backup_base});
  } else {
    log.ReleaseHold(std::string(kBackupBaseHold));
  }
  for (const RetentionPlan::LetGo& one : plan.let_go) {
    log.ReleaseHold(one.hold);
    set_.erase(one.hold);
  }
}

base::Result<std::vector<RetentionPlan::LetGo>> LogKeeper::Keep(log::LogStore& log,
                                                                const Facts& facts) {
  const LogRules::Of rules = Rules();
  SetHolds(log, rules, facts.active);
  const RetentionPlan plan = Plan(log, rules, facts);
  SetPlanned(log, rules, plan, facts.keep_bytes);
  TellDisk(plan.disk_low, rules.disk_free_min);
  ASSIGN_OR_RETURN(const uint64_t freed, log.Truncate(log.durable().seq));
  TellBackup(log, rules, freed);
  return plan.let_go;
}

// Once for each backup that ends while the copy is open.
void LogKeeper::TellBackup(const log::LogStore& log, const LogRules::Of& rules, uint64_t freed) {
  const bool known = backup_.has_value();
  if (!rules.known || backup_ == rules.backed_up.id) return;
  backup_ = rules.backed_up.id;
  if (!known || rules.backed_up.id.empty()) return;
  const std::string what =
      fmt::format("log of {} on {} after {} backup {} at {}", database_, context_.server,
                  rules.backed_up.type, rules.backed_up.id, base::ToString(rules.backed_up.at));
  std::string held;
  for (const log::Hold& hold : log.holds()) {
    if (hold.seq >= rules.backed_up_to) continue;
    held += fmt::format("{}{} (from {})", held.empty() ? "; held back by " : ", ", hold.name,
                        hold.seq.value + 1);
  }
  if (freed > 0) {
    context_.events.Add(EventNumber::kLogTruncated, Severity::kInfo, database_,
                        fmt::format("{}: {} bytes removed, it begins at {} now{}", what, freed,
                                    log.first_seq().value, held));
  } else {
    context_.events.Add(
        EventNumber::kLogNotTruncated, Severity::kInfo, database_,
        fmt::format("{}: nothing to remove{}", what,
                    held.empty() ? "; what is left is in the newest log file" : held));
  }
}

void LogKeeper::TellDisk(bool low, uint64_t free_min) {
  if (std::exchange(disk_low_, low) == low || !low) return;
  context_.events.Add(
      EventNumber::kLogDiskLow, Severity::kWarning, database_,
      fmt::format("less than {} MiB ({}) are free on the log disk of {} on {}: log that is only "
                  "wanted, by log.keep_bytes or for the next backup, is let go",
                  free_min / kMiB, cluster::kLogDiskFreeMin, database_, context_.server));
}

}  // namespace understudy::server
