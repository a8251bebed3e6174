// SPDX-License-Identifier: Apache-2.0
#include "backup/page_difference.h"

#include "backup/ltx_format.h"
#include "backup/page_hashes.h"
#include "backup/snapshot_scan.h"

namespace understudy::backup {

base::Result<std::vector<uint64_t>> SnapshotHashes(SnapshotSource& source,
                                                   const BackupDocument& document,
                                                   const base::ProgressSink& progress) {
  std::vector<uint64_t> hashes = source.TakeHashes();
  if (hashes.size() != document.pages || !MatchesDocument(hashes, document)) {
    RETURN_IF_ERROR(ScanSnapshot(source, "comparing", progress, {}, &hashes));
  }
  const uint32_t lock_page = LockPage(document.page_size);
  if (lock_page <= hashes.size()) hashes[lock_page - 1] = 0;
  return hashes;
}

void PageDifference::From(const std::vector<uint64_t>& then) {
  for (size_t i = 0; i < hashes_.size(); ++i) {
    if (i >= then.size() || hashes_[i] != then[i]) differs_[i] = true;
  }
}

std::vector<uint32_t> PageDifference::Pages(uint32_t page_size) const {
  std::vector<uint32_t> pages = {1};
  for (uint32_t page = 2; page <= hashes_.size(); ++page) {
    if (differs_[page - 1] && page != LockPage(page_size)) pages.push_back(page);
  }
  return pages;
}

}  // namespace understudy::backup
