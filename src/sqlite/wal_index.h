// SPDX-License-Identifier: Apache-2.0
// WalIndex: a view of the wal-index (`-shm`) that a Connection has mapped, and its locks.
//
// The memory is shared with other processes, which write it at any time: every look copies it with
// relaxed atomic loads, and ReadHeader returns a header only if both copies are equal and its
// checksum fits (wal.c, walIndexTryHdr). Regions are mapped through SQLite's own file handle, so
// no descriptor of the -shm file is opened beside SQLite's (closing one would drop its locks).
//
// The Connection must outlive the view and must not run checkpoints or transactions of its own
// while raw locks are held through it: SQLite does not know of them.
// Threading: as the Connection, except that the `…_hint` functions may be called by any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/status.h"
#include "sqlite/connection.h"
#include "sqlite/wal_format.h"

namespace understudy::sqlite {

// How often AwaitHeader looks; it gives up the processor between looks.
inline constexpr int kHeaderLooksMax = 20000;

class WalIndex {
 public:
  enum class Mode { kShared, kExclusive };

  // Runs one read on the connection, so that SQLite has opened the -shm (and recovered the WAL if
  // needed). kInvalidArgument when the database is not in WAL mode.
  static base::Result<WalIndex> Map(Connection& connection);

  // Nothing while somebody is writing the header, or died while doing so.
  std::optional<WalIndexHeader> ReadHeader() const;
  // Waits until there is one: a header is being written for nanoseconds at a time. kBusy when there
  // is none for long: its writer died, and the next reader or writer has to recover the WAL.
  base::Result<WalIndexHeader> AwaitHeader() const;
  uint32_t backfilled() const { return Load(kIndexBackfillOffset); }
  // Above backfilled() while a checkpoint is writing pages (SQLite 3.11 and later).
  uint32_t backfill_attempted() const { return Load(kIndexBackfillAttemptedOffset); }
  uint32_t read_mark(int i) const {
    return Load(kIndexReadMarksOffset + 4 * static_cast<size_t>(i));
  }
  // REQUIRES: READ_LOCK(i) is held exclusively through this view.
  void SetReadMark(int i, uint32_t frame) const;

  // Single looks without consistency: good for noticing that something happened.
  uint32_t mx_frame_hint() const { return Load(16); }
  uint32_t change_hint() const { return Load(8); }

  // Calls visit(frame, page) for frames first..last, in order. REQUIRES: last <= mx_frame of a
  // header that is still current. kCorruption when the index has fewer regions.
  base::Status ForEachFrame(uint32_t first, uint32_t last,
                            const std::function<void(uint32_t frame, uint32_t page)>& visit) const;

  // Tries once, never waits. False: somebody else holds it.
  base::Result<bool> TryLock(int lock, Mode mode) const;
  void Unlock(int lock, Mode mode) const;

 private:
  WalIndex(sqlite3_file* file, const volatile uint8_t* region0) : file_(file), region0_(region0) {}
  uint32_t Load(size_t offset) const {
    return __atomic_load_n(reinterpret_cast<const volatile uint32_t*>(region0_ + offset),
                           __ATOMIC_ACQUIRE);
  }
  base::Result<const volatile uint32_t*> Region(uint32_t region) const;

  sqlite3_file* file_;
  const volatile uint8_t* region0_;  // stays mapped as long as the connection is open
};

}  // namespace understudy::sqlite
