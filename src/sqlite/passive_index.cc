// SPDX-License-Identifier: Apache-2.0
#include "sqlite/passive_index.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <atomic>
#include <cstring>

namespace understudy::sqlite {
namespace {

using base::Result;
using base::Status;

// Regions hold 4096 frames each; 2^20 of them are more frames than a wal-index can number.
constexpr uint32_t kRegionsMax = 1 << 20;

// Other processes read and write the same words: single loads and stores, as SQLite's AtomicLoad.
template <typename Number>
Number Load(const uint8_t* at) {
  return std::atomic_ref<Number>(*reinterpret_cast<Number*>(const_cast<uint8_t*>(at)))
      .load(std::memory_order_relaxed);
}
template <typename Number>
void Store(uint8_t* at, Number value) {
  std::atomic_ref<Number>(*reinterpret_cast<Number*>(at)).store(value, std::memory_order_relaxed);
}

// Where things are inside one region.
struct Table {
  uint8_t* pages;      // uint32_t page numbers; frame first_frame + i is at index i
  uint8_t* hash;       // kIndexHashSlots of uint16_t: index of a page number + 1, 0 when empty
  uint32_t before;     // frames in earlier regions
  uint32_t pages_max;  // page numbers in this region
};

Table TableOf(uint8_t* region, uint32_t number) {
  const bool is_first = number == 0;
  return {
      .pages = is_first ? region + kIndexPagesOffsetFirstRegion : region,
      .hash = region + kIndexHashOffset,
      .before = is_first ? 0 : kIndexPagesFirstRegion + (number - 1) * kIndexPagesPerRegion,
      .pages_max = is_first ? kIndexPagesFirstRegion : kIndexPagesPerRegion,
  };
}

uint32_t FirstSlot(uint32_t page) { return (page * kIndexHashMultiplier) & (kIndexHashSlots - 1); }
uint32_t NextSlot(uint32_t slot) { return (slot + 1) & (kIndexHashSlots - 1); }

Status BadHash(uint32_t region) {
  return base::Corruption(fmt::format("wal-index region {}: its hash table is full", region));
}

}  // namespace

Status PassiveIndex::Lock(int first, int count) {
  const int code =
      file_->pMethods->xShmLock(file_, first, count, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
  return ToStatus(code, nullptr, fmt::format("lock {} of the wal-index", first));
}

void PassiveIndex::Unlock(int first, int count) {
  // Cannot fail for a lock that is held, and after a failure there is nothing left to do.
  file_->pMethods->xShmLock(file_, first, count, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}

Result<uint8_t*> PassiveIndex::Region(uint32_t number) {
  if (number >= kRegionsMax) {
    return base::InvalidArgument(
        fmt::format("the WAL would need more than {} wal-index regions", kRegionsMax));
  }
  while (regions_.size() <= number) {
    void volatile* mapped = nullptr;
    const int code = file_->pMethods->xShmMap(file_, static_cast<int>(regions_.size()),
                                              kIndexRegionBytes, 1, &mapped);
    RETURN_IF_ERROR(ToStatus(code, nullptr, "map the wal-index"));
    if (mapped == nullptr) return base::IoError("the wal-index could not be extended");
    // Accesses go through atomic_ref or stand between barriers; volatile adds nothing to that.
    regions_.push_back(static_cast<uint8_t*>(const_cast<void*>(mapped)));
  }
  return regions_[number];
}

Result<WalIndexHeader> PassiveIndex::ReadHeader() {
  ASSIGN_OR_RETURN(const uint8_t* region, Region(0));
  WalIndexHeader first;
  WalIndexHeader second;
  std::memcpy(&first, region, sizeof first);
  file_->pMethods->xShmBarrier(file_);
  std::memcpy(&second, region + kIndexHeaderBytes, sizeof second);
  if (std::memcmp(&first, &second, sizeof first) != 0 || !first.valid())
    return base::Busy("the wal-index header is being written, or its writer died");
  return first;
}

Status PassiveIndex::Publish(WalIndexHeader& header) {
  ASSIGN_OR_RETURN(uint8_t* const region, Region(0));
  ++header.change;
  header.initialised = 1;
  header.version = kIndexVersion;
  const WalChecksum sum = header.ComputeChecksum();
  header.checksum[0] = sum.s0;
  header.checksum[1] = sum.s1;
  file_->pMethods->xShmBarrier(file_);
  std::memcpy(region + kIndexHeaderBytes, &header, sizeof header);
  file_->pMethods->xShmBarrier(file_);
  std::memcpy(region, &header, sizeof header);
  file_->pMethods->xShmBarrier(file_);
  return Status();
}

Status PassiveIndex::Append(uint32_t frame, base::PageNo page) {
  const uint32_t number = IndexRegionOf(frame);
  ASSIGN_OR_RETURN(uint8_t* const region, Region(number));
  const Table table = TableOf(region, number);
  const uint32_t entry = frame - table.before;  // from 1
  CHECK(entry >= 1 && entry <= table.pages_max);
  if (entry == 1) {  // a region may hold what an earlier run of the WAL left in it
    std::memset(table.pages, 0,
                static_cast<size_t>(table.hash - table.pages) + kIndexHashSlots * 2);
  }
  uint32_t slot = FirstSlot(page.value);
  for (uint32_t tries = 0; Load<uint16_t>(table.hash + slot * 2) != 0; ++tries) {
    if (tries >= entry) return BadHash(number);
    slot = NextSlot(slot);
  }
  Store<uint32_t>(table.pages + size_t{entry - 1} * 4, page.value);
  Store<uint16_t>(table.hash + slot * 2, static_cast<uint16_t>(entry));
  return Status();
}

Status PassiveIndex::Forget(uint32_t mx_frame) {
  if (mx_frame == 0) return Status();  // the next Append clears region 0
  const uint32_t number = IndexRegionOf(mx_frame);
  ASSIGN_OR_RETURN(uint8_t* const region, Region(number));
  const Table table = TableOf(region, number);
  const uint32_t keep = mx_frame - table.before;
  for (uint32_t slot = 0; slot < kIndexHashSlots; ++slot) {
    if (Load<uint16_t>(table.hash + slot * 2) > keep) Store<uint16_t>(table.hash + slot * 2, 0);
  }
  std::memset(table.pages + size_t{keep} * 4, 0, size_t{table.pages_max - keep} * 4);
  return Status();
}

Result<uint32_t> PassiveIndex::Find(base::PageNo page, uint32_t first, uint32_t last) {
  if (last == 0 || first > last) return 0U;
  const uint32_t oldest = first == 0 ? 0 : IndexRegionOf(first);
  for (uint32_t number = IndexRegionOf(last) + 1; number-- > oldest;) {
    ASSIGN_OR_RETURN(const uint8_t* const region, Region(number));
    const Table table = TableOf(const_cast<uint8_t*>(region), number);
    uint32_t found = 0;
    uint32_t tries = 0;
    uint32_t slot = FirstSlot(page.value);
    for (uint32_t entry = 0; (entry = Load<uint16_t>(table.hash + slot * 2)) != 0;
         slot = NextSlot(slot)) {
      const uint32_t frame = table.before + entry;
      if (entry <= table.pages_max && frame >= first && frame <= last && frame > found &&
          Load<uint32_t>(table.pages + size_t{entry - 1} * 4) == page.value) {
        found = frame;
      }
      if (++tries > kIndexHashSlots) return BadHash(number);
    }
    if (found != 0) return found;
  }
  return 0U;
}

Result<base::PageNo> PassiveIndex::PageOf(uint32_t frame) {
  const uint32_t number = IndexRegionOf(frame);
  ASSIGN_OR_RETURN(uint8_t* const region, Region(number));
  const Table table = TableOf(region, number);
  return base::PageNo(Load<uint32_t>(table.pages + size_t{frame - table.before - 1} * 4));
}

Result<uint32_t> PassiveIndex::Backfilled() {
  ASSIGN_OR_RETURN(const uint8_t* region, Region(0));
  return Load<uint32_t>(region + kIndexBackfillOffset);
}

Status PassiveIndex::ResetMarks() {
  ASSIGN_OR_RETURN(uint8_t* const region, Region(0));
  Store<uint32_t>(region + kIndexBackfillOffset, 0);
  Store<uint32_t>(region + kIndexBackfillAttemptedOffset, 0);
  Store<uint32_t>(region + kIndexReadMarksOffset + 4, 0);
  for (size_t mark = 2; mark < kReadMarks; ++mark)
    Store<uint32_t>(region + kIndexReadMarksOffset + mark * 4, kReadMarkUnused);
  return Status();
}

}  // namespace understudy::sqlite
