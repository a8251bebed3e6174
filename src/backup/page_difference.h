// SPDX-License-Identifier: Apache-2.0
// Which pages an increment has to store: those whose hashes differ from those of an earlier state.
// Memory: 8 bytes a page, and a bit. Threading: thread-compatible.
#pragma once

#include <vector>

#include "backup/backup_document.h"
#include "backup/snapshot_source.h"
#include "base/progress.h"

namespace understudy::backup {

// Of all pages, 0 for the lock page, which is never stored: those of the copy's log if they give
// the database checksum, else the snapshot is read for them. Errors: of ScanSnapshot.
base::Result<std::vector<uint64_t>> SnapshotHashes(SnapshotSource& source,
                                                   const BackupDocument& document,
                                                   const base::ProgressSink& progress);

class PageDifference {
 public:
  // `hashes` must outlive it.
  explicit PageDifference(const std::vector<uint64_t>& hashes)
      : hashes_(hashes), differs_(hashes.size()) {}
  void From(const std::vector<uint64_t>& then);
  // Ascending; page 1 always, because a file with no page is none.
  std::vector<uint32_t> Pages(uint32_t page_size) const;

 private:
  const std::vector<uint64_t>& hashes_;
  std::vector<bool> differs_;
};

}  // namespace understudy::backup
