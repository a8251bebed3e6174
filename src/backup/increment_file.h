// SPDX-License-Identifier: Apache-2.0
// StoreIncrement: the data file of an increment, of a backup or of the archive: the pages are read
// from the snapshot, held against their hashes, uploaded, and read back from where they are stored;
// laid over the base's page hashes they must give exactly those of the snapshot.
//
// Memory: 8 bytes a page, and a chunk. Threading: pure function; one thread.
#pragma once

#include <string>
#include <vector>

#include "backup/backup_document.h"
#include "backup/ltx_format.h"
#include "backup/snapshot_source.h"
#include "base/progress.h"
#include "store/object_store.h"

namespace understudy::backup {

struct IncrementContent {
  const BackupDocument& document;            // of the state that it leads to
  LtxHeader header;                          //
  const std::vector<uint32_t>& pages;        // ascending, never empty
  const std::vector<uint64_t>& base_hashes;  // of each page before it
  const std::vector<uint64_t>& hashes;       // and after it
  std::string path;                          // for messages
  base::ProgressSink progress = {};          // "backing up", "verifying"; false cancels
};

struct IncrementSums {
  uint64_t bytes = 0;
  uint64_t crc64 = 0;
  std::string xxh3_128;
};

// ENSURES: the upload is stored, was read back and is right; it is still to be published.
base::Result<IncrementSums> StoreIncrement(store::Upload& upload, SnapshotSource& source,
                                           const IncrementContent& content);

}  // namespace understudy::backup
