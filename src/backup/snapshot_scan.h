// SPDX-License-Identifier: Apache-2.0
// ScanSnapshot: reads all pages of a snapshot, in order, and proves that they are the ones on
// record: the database checksum must come out. Memory: kScanBytes. Threading: thread-compatible.
#pragma once

#include <functional>
#include <vector>

#include "backup/snapshot_source.h"
#include "base/bytes.h"
#include "base/progress.h"

namespace understudy::backup {

inline constexpr size_t kScanBytes = 1 << 20;

using PageSink = std::function<base::Status(base::PageNo first, base::ByteView images)>;

// `sink` and `progress` may be empty; `hashes`, if given, gets the hash of each page. kCorruption:
// the checksum is another one; kCancelled.
base::Status ScanSnapshot(SnapshotSource& source, const std::string& phase,
                          const base::ProgressSink& progress, const PageSink& sink,
                          std::vector<uint64_t>* hashes = nullptr);

}  // namespace understudy::backup
