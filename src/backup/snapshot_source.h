// SPDX-License-Identifier: Apache-2.0
// SnapshotSource: a database as of one position, which a backup reads page by page.
//
// server/ implements it over a read transaction of a passive or active copy; FileSnapshotSource
// (file_snapshot_source.h) over a database file that nobody has open. As long as the object lives,
// every read sees the state at(), whatever is committed meanwhile.
// Threading: calls are made one at a time, but not always on the same thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "log/log_store.h"

namespace understudy::backup {

// Where a snapshot comes from; it goes into the backup's document as it is.
struct SnapshotOrigin {
  base::DatabaseId database;
  std::string database_name;
  std::string server;  // name of the server it is read on
  std::string role;    // of the copy at that moment: "active", "passive" or "offline"
  // What keeps its pages from changing: "snapshot-read", a read transaction; "reflink", a clone of
  // the file (design/0038).
  std::string provider = "snapshot-read";
};

class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;

  virtual SnapshotOrigin origin() const = 0;
  virtual uint32_t page_size() const = 0;
  virtual uint32_t pages() const = 0;
  // position, checksum and commit_time are what the backup is verified against and named after;
  // page_size and pages equal those above.
  virtual log::LogEnd at() const = 0;
  // Fills `out` (count * page_size() bytes) with the pages first .. first + count - 1.
  // REQUIRES: 1 <= first and first + count - 1 <= pages().
  virtual base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) = 0;
  // The hash of each page as the copy's log has it, so that what has not changed need not be read;
  // empty when it is not known, and at the second call. What the file has may be another matter.
  virtual std::vector<uint64_t> TakeHashes() { return {}; }
};

}  // namespace understudy::backup
