// SPDX-License-Identifier: Apache-2.0
// LogKeeper: truncates the log of one copy, every now and then and after a backup
// (docs/design/0015-truncation-and-sources.md; retention.h decides).
//
// It sets the holds of retention, of the last backup, of backup sessions and, on a passive copy, of
// the other passive copies, which would need its log if it were mounted; all others are their
// owners'. Threading: confined to the thread of the copy that owns it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/context.h"
#include "server/log_rules.h"
#include "server/retention.h"

namespace understudy::server {

class LogKeeper {
 public:
  LogKeeper(const ServerContext& context, std::string database, std::string log_directory)
      : context_(context), database_(std::move(database)), directory_(std::move(log_directory)) {}

  struct Facts {
    bool active = false;               // else the holds of other passive copies are set here
    uint64_t keep_bytes = 0;           // of log that is in no backup
    std::set<std::string> stragglers;  // names of holds that may be let go
  };
  // What was let go, whose hold is released. An error is of the moment.
  base::Result<std::vector<RetentionPlan::LetGo>> Keep(log::LogStore& log, const Facts& facts);
  // A backup has ended since the last call of Keep, and a hold of `own` keeps log that it has: a
  // checkpoint of its owner would let it go.
  bool WantsCheckpoint(const log::LogStore& log, std::string_view own);

 private:
  LogRules::Of Rules() const;
  void SetHolds(log::LogStore& log, const LogRules::Of& rules, bool active);
  RetentionPlan Plan(log::LogStore& log, const LogRules::Of& rules, const Facts& facts);
  void SetPlanned(log::LogStore& log, const LogRules::Of& rules, const RetentionPlan& plan,
                  uint64_t keep_bytes);
  void TellBackup(const log::LogStore& log, const LogRules::Of& rules, uint64_t freed);
  void TellDisk(bool low, uint64_t free_min);

  const ServerContext context_;
  const std::string database_;
  const std::string directory_;
  std::set<std::string> set_;          // holds that are set here
  std::optional<std::string> backup_;  // the last one that was seen
  std::string checkpoint_for_;         // the last one that a checkpoint was asked for
  bool disk_low_ = false;
};

}  // namespace understudy::server
