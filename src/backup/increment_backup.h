// SPDX-License-Identifier: Apache-2.0
// IncrementBackup: an incremental or differential backup: the pages that differ from its base
// (docs/design/0009-backup-types.md).
//
//   base       chosen and checked: documents, files and page hashes of the whole chain
//   compare    the page hashes of the copy's log, or those of the snapshot, which is read for
//              them, must give the database checksum
//   transfer   the pages that differ from the base, or from any stored state between, to an LTX
//              file
//   verify     the file is read back from disk; applied to the base's page hashes it must give
//              exactly those of the snapshot
//
// Memory: 16 bytes a page, and a chunk. Threading: thread-compatible, used once.
#pragma once

#include <vector>

#include "backup/backup_chain.h"
#include "backup/backup_run.h"

namespace understudy::backup {

class IncrementBackup final : public BackupRun {
 public:
  using BackupRun::BackupRun;

  // After Run: why there is no base that this backup could have; ok if there is.
  const base::Status& no_base() const { return no_base_; }

 private:
  base::Status Store() override;
  base::Status FindBase();
  // Ascending; never empty.
  base::Result<std::vector<uint32_t>> PagesToStore();
  base::Status TakeExisting(const std::vector<uint32_t>& pages);
  base::Status Upload(const std::vector<uint32_t>& pages);

  base::Status no_base_;
  BackupChain chain_;  // ends with the base
  std::vector<uint64_t> base_hashes_;
};

}  // namespace understudy::backup
