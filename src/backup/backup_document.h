// SPDX-License-Identifier: Apache-2.0
// BackupDocument: everything that is known about one backup, as the self-contained JSON file
// `<repository>/<database>/backups/<id>.json` (docs/formats/backup-document.md).
//
// A backup exists when, and only when, its document does. The document carries a checksum of its
// own content, so that a changed byte is either without meaning (white space) or kCorruption.
// Threading: values and pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backup/writer_state.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"

namespace understudy::backup {

// An increment is of version 2: a program that knows no `base` must not take it for a whole one.
inline constexpr int kDocumentVersion = 1;
inline constexpr int kIncrementDocumentVersion = 2;
inline constexpr uint64_t kDocumentBytesMax = 1 << 20;
inline constexpr size_t kDocumentFilesMax = 4096;

struct BackupFile {
  std::string path;  // relative to the repository, such as "orders/ltx/9/….ltx"
  uint64_t bytes = 0;
  std::string xxh3_128;   // of the file's bytes, 32 hex digits: `xxhsum -H2` prints the same
  uint64_t crc64 = 0;     // the file checksum in the LTX trailer
  uint64_t min_txid = 0;  // LTX transaction ids are our seq
  uint64_t max_txid = 0;
  uint32_t level = 0;   // of the LTX layout; 9 is a snapshot
  bool reused = false;  // an earlier backup at the same position had stored it; read again, equal
};

enum class VerificationState : uint8_t { kNotVerified, kGood, kFailed };
std::string_view VerificationStateName(VerificationState state);  // "good", …

struct Verification {
  VerificationState state = VerificationState::kNotVerified;
  base::WallTime at;
  std::string method;
  std::string message;  // of a failed one: what is wrong
};

struct BackupDocument {
  std::string id;  // "20261122T184500Z-full-3f09ac"
  BackupType type = BackupType::kFull;
  std::string base;  // of an increment: the id of the backup that it is the change from
  std::string consistency = "application";  // a commit boundary, no other label yet
  std::string provider = "snapshot-read";
  std::string software;  // "understudy 0.1.0"

  std::string database_name;
  base::DatabaseId database;
  std::string server;
  std::string role;
  base::Position position;
  base::WallTime commit_time;  // of the last commit in it
  uint32_t page_size = 0;
  uint32_t pages = 0;
  uint64_t checksum = 0;  // the database checksum at `position`

  std::vector<BackupFile> files;  // one; of an increment none if nothing has changed
  base::WallTime started;
  base::WallTime completed;
  uint64_t duration_ms = 0;
  uint64_t bytes_pages = 0;       // before compression
  uint64_t bytes_stored = 0;      // after it, files written
  uint64_t bytes_per_second = 0;  // of bytes_pages

  Phase phase = Phase::kBackupComplete;
  WriterState state = WriterState::kStable;
  WriterCode code = WriterCode::kOk;
  Verification verification;
};

// Incremental, differential or of the archive: cannot be restored without its base.
inline bool IsIncrement(BackupType type) {
  return type == BackupType::kIncremental || type == BackupType::kDifferential ||
         type == BackupType::kLog;
}

std::string ToJson(const BackupDocument& document);  // indented, ends with a new line
// kInvalidArgument: a version that this program does not know; kCorruption: anything else.
base::Result<BackupDocument> DocumentFromJson(std::string_view text);

// "20261122T184500Z-full-3f09ac"; `random` gives the last part.
std::string MakeBackupId(base::WallTime started, BackupType type, uint64_t random);
bool IsBackupId(std::string_view text);

}  // namespace understudy::backup
