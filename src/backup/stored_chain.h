// SPDX-License-Identifier: Apache-2.0
// StoredChain: the data files of a listed backup and of those that it is based on, held against
// what their documents say. Shared by verify, restore and the next increment.
// Memory: 8 bytes a page, and the files' indexes. Threading: thread-compatible.
#pragma once

#include <memory>
#include <vector>

#include "backup/backup_chain.h"
#include "backup/ltx_reader.h"
#include "backup/repository.h"

namespace understudy::backup {

class StoredChain {
 public:
  // Opens the files and compares size, page size, page count, transaction ids and file checksum
  // with the documents, without reading pages. `from_disk` drops them from the page cache first.
  // kCorruption when one is damaged or gone.
  static base::Result<std::unique_ptr<StoredChain>> Open(const Repository& repository,
                                                         BackupChain chain, bool from_disk);

  const BackupDocument& document() const { return chain_.back(); }
  // The most pages that any state of the chain has.
  uint32_t pages_max() const;

  // Reads all pages of all files, oldest first, and compares file hash and database checksum with
  // the document after each. The sink gets every page that is stored, the newest image last.
  base::Status Scan(Executor& executor, const ScanOptions& options);
  // After Scan, or after any number of states: of the last one read.
  std::vector<uint64_t> TakeHashes() { return std::move(hashes_); }

 private:
  explicit StoredChain(BackupChain chain) : chain_(std::move(chain)) {}
  base::Status ScanOne(Executor& executor, size_t i, const ScanOptions& options);
  uint64_t BytesOf(const LtxFile& file) const;

  const BackupChain chain_;
  std::vector<std::unique_ptr<LtxFile>> files_;  // of each link; none where nothing has changed
  std::vector<uint64_t> hashes_;
};

// The page hashes of a listed backup: from their own file, else from the data. kCorruption when
// neither is good.
base::Result<std::vector<uint64_t>> PageHashesOf(Executor& executor, const Repository& repository,
                                                 const BackupList& list,
                                                 const BackupDocument& document);

}  // namespace understudy::backup
