// SPDX-License-Identifier: Apache-2.0
// PassiveIndex: writes a database's wal-index (-shm) in SQLite's stead, by the rules of its wal.c.
//
// It works through the sqlite3_file of an open Connection (borrowed; it must outlive this object),
// never through a descriptor of its own: closing one would drop SQLite's locks in this process.
// Byte layout: wal_format.h.
//
// Invariants (what readers in other processes rely on):
//   1. Only the holder of WRITE changes hash tables or the header.
//   2. A header is stored copy 2 first, then a barrier, then copy 1; readers take copy 1 first.
//   3. Frames after the published mx_frame may be in a hash table only until the next Forget.
//   4. Read marks, nBackfill and salts change together only while CHECKPOINT and READ 1 to 4 are
//      held, so no reader and no checkpoint that looked before a restart goes on after it.
//
// Threading: confined to one thread. Errors: kBusy for a lock somebody else holds, kIoError,
// kCorruption for a hash table that cannot be one.
#pragma once

#include <vector>

#include "base/status.h"
#include "sqlite/connection.h"
#include "sqlite/wal_format.h"

namespace understudy::sqlite {

class PassiveIndex {
 public:
  // REQUIRES: the connection of `file` has read from its database, so that -shm is open.
  explicit PassiveIndex(sqlite3_file* file) : file_(file) {}
  PassiveIndex(const PassiveIndex&) = delete;
  PassiveIndex& operator=(const PassiveIndex&) = delete;

  // Exclusive locks, `count` from `first` on (kLock… of wal_format.h); never waits.
  base::Status Lock(int first, int count);
  void Unlock(int first, int count);

  // The published header; kBusy when its copies differ (somebody is writing it, or died doing so).
  base::Result<WalIndexHeader> ReadHeader();
  // Counts header.change up, sets its checksum and stores it.
  base::Status Publish(WalIndexHeader& header);

  // Enters frame `frame` (the one after the last entered) holding `page`; maps a new region if
  // needed.
  base::Status Append(uint32_t frame, base::PageNo page);
  // Takes frames after mx_frame out of the hash table (SQLite's walCleanupHash).
  base::Status Forget(uint32_t mx_frame);
  // The newest frame in first..last that holds `page`; 0 when there is none.
  base::Result<uint32_t> Find(base::PageNo page, uint32_t first, uint32_t last);

  // The page of a frame that was entered.
  base::Result<base::PageNo> PageOf(uint32_t frame);

  base::Result<uint32_t> Backfilled();
  // After a restart: nothing backfilled, mark 1 at frame 0, marks 2 to 4 unused.
  base::Status ResetMarks();

 private:
  base::Result<uint8_t*> Region(uint32_t number);

  sqlite3_file* const file_;
  std::vector<uint8_t*> regions_;
};

}  // namespace understudy::sqlite
