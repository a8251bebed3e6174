// SPDX-License-Identifier: Apache-2.0
#include "backup/wanted_backup.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "backup/archive.h"

namespace understudy::backup {
namespace {

// A backup, or a state of the archive whose document was not read yet.
struct Candidate {
  base::Position position;
  base::WallTime commit_time;
  const BackupDocument* backup = nullptr;
  std::optional<ArchivedState> archived;

  bool operator<(const Candidate& other) const {
    return std::tuple(position, commit_time, backup != nullptr) <
           std::tuple(other.position, other.commit_time, other.backup != nullptr);
  }
};

bool IsWithin(const Candidate& candidate, const WantedBackup& wanted) {
  if (wanted.time) return candidate.commit_time <= *wanted.time;
  return candidate.position.seq <= *wanted.seq;
}

std::string PointOf(const Candidate& candidate) {
  return fmt::format("{} (position {}, committed until {})",
                     candidate.backup != nullptr ? candidate.backup->id : candidate.archived->id,
                     candidate.position.seq.value, base::ToRfc3339(candidate.commit_time));
}

// Of good backups, and of what is archived after each of them; in order.
base::Result<std::vector<Candidate>> Candidates(const Repository& repository,
                                                const std::string& database,
                                                const std::vector<BackupDocument>& good) {
  std::vector<Candidate> all;
  for (const BackupDocument& document : good) {
    all.push_back({.position = document.position,
                   .commit_time = document.commit_time,
                   .backup = &document,
                   .archived = {}});
    ASSIGN_OR_RETURN(const std::vector<ArchivedState> states,
                     ListArchive(repository, database, document.id));
    for (const ArchivedState& state : states) {
      all.push_back({.position = state.position,
                     .commit_time = state.commit_time,
                     .backup = nullptr,
                     .archived = state});
    }
  }
  std::stable_sort(all.begin(), all.end());
  return all;
}

// kCorruption: it is archived, and its chain is not whole.
base::Result<BackupDocument> DocumentOf(const Repository& repository, const std::string& database,
                                        const Candidate& candidate) {
  if (candidate.backup != nullptr) return *candidate.backup;
  ASSIGN_OR_RETURN(const std::vector<BackupDocument> since,
                   ArchivedSince(repository, database, *candidate.archived));
  return since.back();
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
  ASSIGN_OR_RETURN(const std::vector<Candidate> all, Candidates(repository, database, good));
  // A clock that was set back: what is later than the last one that is within counts.
  size_t end = all.size();
  while (end > 0 && !IsWithin(all[end - 1], wanted)) --end;
  ChosenBackup chosen;
  for (size_t i = end; i < all.size() && !chosen.next; ++i) {
    auto next = DocumentOf(repository, database, all[i]);
    if (next.ok()) chosen.next = std::move(*next);
  }
  for (size_t i = end; i > 0; --i) {
    auto document = DocumentOf(repository, database, all[i - 1]);
    const base::Code code = document.status().code();
    if (code == base::Code::kCorruption || code == base::Code::kNotFound) continue;
    RETURN_IF_ERROR(document.status());
    chosen.document = std::move(*document);
    return chosen;
  }
  return base::NotFound(
      fmt::format("no good backup of {} in {} is that old: the first is {}, the last {}", database,
                  repository.name(), PointOf(all.front()), PointOf(all.back())));
}

}  // namespace understudy::backup
