// SPDX-License-Identifier: Apache-2.0
// Which log may go, and who is not waited for any longer
// (docs/design/0015-truncation-and-sources.md).
//
// Every hold (log/log_store.h) is respected, but two kinds give way:
//   - what is only wanted, while the log's disk is nearly full: log that is no longer than
//     log.keep_bytes and in no backup; log since the last backup, where circular logging is off
//   - stragglers: copies for which more log is kept than the bound, or than a full disk can bear.
//     Only if that frees something, the one that is farthest behind first.
// Threading: pure functions.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "log/log_store.h"

namespace understudy::server {

inline constexpr std::string_view kRetentionHold = "retention";
inline constexpr std::string_view kBackupBaseHold = "last backup";
// A copy for which less is kept than this is no straggler, however full the disk is.
inline constexpr uint64_t kLowDiskStragglerBytes = 8 << 20;

struct RetentionFacts {
  std::vector<log::GenerationInfo> generations;  // oldest first
  base::Seq first;                               // seq of the oldest record
  std::vector<log::Hold> holds;                  // but those that this decides about
  std::set<std::string> stragglers;              // names of holds that can be let go
  uint64_t keep_bytes = 0;
  bool circular = true;
  base::Seq backed_up;  // 0: nothing is
  uint64_t straggler_bytes_max = 0;
  uint64_t disk_free = 0;
  uint64_t disk_free_min = 0;
};

struct RetentionPlan {
  std::optional<base::Seq> retention;    // of kRetentionHold
  std::optional<base::Seq> backup_base;  // of kBackupBaseHold
  struct LetGo {
    std::string hold;
    base::Seq after;     // it had everything up to there
    uint64_t bytes = 0;  // that were kept for it
    bool for_disk = false;
  };
  std::vector<LetGo> let_go;
  bool disk_low = false;
};
RetentionPlan PlanRetention(const RetentionFacts& facts);

// The newest seq that retention by size lets go; 0: nothing.
base::Seq TruncatableUpTo(const std::vector<log::GenerationInfo>& generations, uint64_t keep_bytes);
// Bytes of the generations that a truncation up to `seq` removes.
uint64_t RemovableBytes(const std::vector<log::GenerationInfo>& generations, base::Seq seq);

}  // namespace understudy::server
