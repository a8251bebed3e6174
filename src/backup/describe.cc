// SPDX-License-Identifier: Apache-2.0
#include "backup/describe.h"

#include <algorithm>

namespace understudy::backup {

BackupDocument DescribeSnapshot(const SnapshotSource& source) {
  const SnapshotOrigin origin = source.origin();
  const log::LogEnd at = source.at();
  BackupDocument document;
  document.database_name = origin.database_name;
  document.database = origin.database;
  document.server = origin.server;
  document.role = origin.role;
  document.provider = origin.provider;
  document.position = at.position;
  document.commit_time = at.commit_time;
  document.page_size = source.page_size();
  document.pages = source.pages();
  document.checksum = at.checksum;
  return document;
}

LtxHeader HeaderOf(const BackupDocument& document, const BackupFile& file) {
  return {.page_size = document.page_size,
          .commit = document.pages,
          .min_txid = file.min_txid,
          .max_txid = file.max_txid,
          .timestamp_ms = std::max<int64_t>(document.commit_time.unix_ms, 0)};
}

void Complete(BackupDocument& document, const BackupFile& file, base::WallTime now,
              base::Duration took, std::string_view method) {
  if (!file.path.empty()) document.files = {file};
  document.bytes_stored = file.bytes;
  document.completed = now;
  document.duration_ms =
      static_cast<uint64_t>(std::max<int64_t>(took / std::chrono::milliseconds(1), 0));
  document.bytes_per_second =
      document.bytes_pages * 1000 / std::max<uint64_t>(document.duration_ms, 1);
  document.verification = {
      .state = VerificationState::kGood, .at = now, .method = std::string(method), .message = ""};
}

}  // namespace understudy::backup
