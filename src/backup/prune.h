// SPDX-License-Identifier: Apache-2.0
// Prune: which backups of a database may go, and taking them away.
//
// A backup stays if any of these says so, and each says why:
//   mark       a person has marked it (Repository::SetKeep)
//   count      it is, or is based on, one of the newest `keep_full` good full backups
//   age        it was completed less than `keep_days` before the newest one. Not before now: so
//              neither a clock that jumps nor backups that have stopped take anything away
//   needed     a backup that stays is based on it
//   last       it is the last good full backup, or the newest good one
//
// Documents go first, each before the one that it is based on, then data that no document lists. A
// kill at any moment leaves whole chains only, and data that the next backup removes.
// Threading: thread-compatible. Errors: kBusy (somebody else writes), kCorruption (a document
// cannot be read: it may need what would go), kInvalidArgument (no rule), those of the store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backup/repository.h"

namespace understudy::backup {

struct PruneRules {
  uint32_t keep_full = 0;  // 0: no such rule
  uint32_t keep_days = 0;  // the same
};

struct PruneDecision {
  BackupDocument document;
  bool keep = false;
  std::string why;
};

// Newest first. REQUIRES: every document could be read.
std::vector<PruneDecision> PlanPrune(const BackupList& list, const PruneRules& rules);

struct PruneOptions {
  PruneRules rules = {};
  bool dry_run = false;  // only plan
};

base::Result<std::vector<PruneDecision>> Prune(const Repository& repository,
                                               const std::string& database,
                                               const PruneOptions& options);

}  // namespace understudy::backup
