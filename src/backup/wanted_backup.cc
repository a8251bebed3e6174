// SPDX-License-Identifier: Apache-2.0
#include "backup/wanted_backup.h"

#include <fmt/format.h>

#include <vector>

namespace understudy::backup {
namespace {

bool IsWithin(const BackupDocument& document, const WantedBackup& wanted) {
  if (wanted.time) return document.commit_time <= *wanted.time;
  return document.position.seq <= *wanted.seq;
}

std::string PointOf(const BackupDocument& document) {
  return fmt::format("{} (position {}, committed until {})", document.id,
                     document.position.seq.value, base::ToRfc3339(document.commit_time));
}

}  // namespace

base::Result<ChosenBackup> ChooseBackup(const Repository& repository, const std::string& database,
                                        const WantedBackup& wanted) {
  if (!wanted.id.empty()) {
    ASSIGN_OR_RETURN(BackupDocument document, repository.Find(database, wanted.id));
    return ChosenBackup{std::move(document), std::nullopt};
  }
  ASSIGN_OR_RETURN(const std::vector<BackupDocument> good, repository.Good(database));
  if (!wanted.time && !wanted.seq) return ChosenBackup{good.back(), std::nullopt};
  const BackupDocument* best = nullptr;
  const BackupDocument* next = nullptr;
  for (const BackupDocument& document : good) {
    if (IsWithin(document, wanted)) {
      best = &document;
      next = nullptr;  // a clock that was set back: what is later than this one counts
    } else if (next == nullptr) {
      next = &document;
    }
  }
  if (best != nullptr) {
    return ChosenBackup{*best, next == nullptr ? std::nullopt : std::optional(*next)};
  }
  return base::NotFound(
      fmt::format("no good backup of {} in {} is that old: the first is {}, the last {}", database,
                  repository.name(), PointOf(good.front()), PointOf(good.back())));
}

}  // namespace understudy::backup
