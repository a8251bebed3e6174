// SPDX-License-Identifier: Apache-2.0
// ChooseBackup: which backup of a database is meant: by its id, or as the newest good one of which
// nothing was committed after a time, or that is not after a position. What is archived counts as a
// backup there (archive.h). What is between two of them cannot be had from the repository, so the
// next one is told, too.
//
// Times are those of the active copies' clocks at their commits. Where one was set back, a backup
// counts as later than a time if its last commit is. Threading: pure function. Errors: kNotFound,
// with the range that can be had.
#pragma once

#include <optional>
#include <string>

#include "backup/repository.h"

namespace understudy::backup {

// At most one of them; none: the newest good one.
struct WantedBackup {
  std::string id = {};
  std::optional<base::WallTime> time = {};
  std::optional<base::Seq> seq = {};
};

struct ChosenBackup {
  BackupDocument document;
  std::optional<BackupDocument> next;  // the first good one that is later than what was wanted
};

base::Result<ChosenBackup> ChooseBackup(const Repository& repository, const std::string& database,
                                        const WantedBackup& wanted);

}  // namespace understudy::backup
