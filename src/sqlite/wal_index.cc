// SPDX-License-Identifier: Apache-2.0
#include "sqlite/wal_index.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>

#include "base/thread.h"

namespace understudy::sqlite {

using base::Result;
using base::Status;

Result<WalIndex> WalIndex::Map(Connection& connection) {
  // The statement's end closes the read transaction; file, WAL and wal-index stay open.
  ASSIGN_OR_RETURN(const std::string mode, connection.QueryText("PRAGMA journal_mode"));
  if (mode != "wal")
    return base::InvalidArgument(
        fmt::format("{} is in journal mode {}, not WAL: run PRAGMA "
                    "journal_mode=WAL on it once",
                    connection.path(), mode));
  RETURN_IF_ERROR(connection.QueryInt("SELECT count(*) FROM sqlite_schema").status());
  ASSIGN_OR_RETURN(sqlite3_file* const file, connection.file());
  if (file->pMethods->iVersion < 2 || file->pMethods->xShmMap == nullptr)
    return base::InvalidArgument(connection.path() + ": its VFS has no shared memory");
  void volatile* region = nullptr;
  const int code =
      file->pMethods->xShmMap(file, 0, static_cast<int>(kIndexRegionBytes), 0, &region);
  RETURN_IF_ERROR(ToStatus(code, nullptr, "map the wal-index of " + connection.path()));
  if (region == nullptr)
    return base::IoError(connection.path() +
                         " has no wal-index (locking_mode=EXCLUSIVE cannot be followed)");
  return WalIndex(file, static_cast<const volatile uint8_t*>(region));
}

std::optional<WalIndexHeader> WalIndex::ReadHeader() const {
  uint32_t words[2][kIndexHeaderBytes / 4];
  // The writer stores the second copy first (wal.c, walIndexWriteHdr), so read the first one first.
  for (int copy = 0; copy < 2; ++copy) {
    for (size_t i = 0; i < kIndexHeaderBytes / 4; ++i)
      words[copy][i] = Load(static_cast<size_t>(copy) * kIndexHeaderBytes + 4 * i);
  }
  if (std::memcmp(words[0], words[1], kIndexHeaderBytes) != 0) return std::nullopt;
  WalIndexHeader header;
  std::memcpy(&header, words[0], sizeof header);
  if (!header.valid()) return std::nullopt;
  return header;
}

Result<WalIndexHeader> WalIndex::AwaitHeader() const {
  for (int look = 0; look < kHeaderLooksMax; ++look) {
    if (const std::optional<WalIndexHeader> header = ReadHeader()) return *header;
    base::Yield();
  }
  return base::Busy("the wal-index header stays half-written: its writer died or is stopped");
}

void WalIndex::SetReadMark(int i, uint32_t frame) const {
  auto* const at = const_cast<volatile uint32_t*>(reinterpret_cast<const volatile uint32_t*>(
      region0_ + kIndexReadMarksOffset + 4 * static_cast<size_t>(i)));
  __atomic_store_n(at, frame, __ATOMIC_SEQ_CST);
}

Result<const volatile uint32_t*> WalIndex::Region(uint32_t region) const {
  void volatile* at = nullptr;
  const int code = file_->pMethods->xShmMap(file_, static_cast<int>(region),
                                            static_cast<int>(kIndexRegionBytes), 0, &at);
  RETURN_IF_ERROR(ToStatus(code, nullptr, fmt::format("map region {} of a wal-index", region)));
  if (at == nullptr)
    return base::Corruption(
        fmt::format("a wal-index lacks region {}, which its header needs", region));
  return static_cast<const volatile uint32_t*>(at);
}

Status WalIndex::ForEachFrame(
    uint32_t first, uint32_t last,
    const std::function<void(uint32_t frame, uint32_t page)>& visit) const {
  for (uint32_t frame = std::max(first, 1U); frame <= last;) {
    const uint32_t region = IndexRegionOf(frame);
    const uint32_t region_last = kIndexPagesFirstRegion + region * kIndexPagesPerRegion;
    const uint32_t region_first = region == 0 ? 1 : region_last - kIndexPagesPerRegion + 1;
    ASSIGN_OR_RETURN(const volatile uint32_t* const base, Region(region));
    const volatile uint32_t* const pages =
        base + (region == 0 ? kIndexPagesOffsetFirstRegion / 4 : 0);
    for (; frame <= std::min(last, region_last); ++frame)
      visit(frame, __atomic_load_n(pages + (frame - region_first), __ATOMIC_RELAXED));
  }
  return Status();
}

Result<bool> WalIndex::TryLock(int lock, Mode mode) const {
  const int how = mode == Mode::kShared ? SQLITE_SHM_SHARED : SQLITE_SHM_EXCLUSIVE;
  const int code = file_->pMethods->xShmLock(file_, lock, 1, SQLITE_SHM_LOCK | how);
  if ((code & 0xff) == SQLITE_BUSY) return false;
  RETURN_IF_ERROR(ToStatus(code, nullptr, fmt::format("lock {} of a wal-index", lock)));
  return true;
}

void WalIndex::Unlock(int lock, Mode mode) const {
  const int how = mode == Mode::kShared ? SQLITE_SHM_SHARED : SQLITE_SHM_EXCLUSIVE;
  file_->pMethods->xShmLock(file_, lock, 1, SQLITE_SHM_UNLOCK | how);
}

}  // namespace understudy::sqlite
