// SPDX-License-Identifier: Apache-2.0
// Byte layout of SQLite's write-ahead log (`-wal`) and wal-index (`-shm`), as in SQLite's
// wal.c and https://sqlite.org/walformat.html.
//
// WAL header, 32 bytes, all numbers big-endian:
//    0  magic 0x377f0682 (checksums over little-endian words) or 0x377f0683 (big-endian words)
//    4  format version 3007000        8  page size
//   12  checkpoint sequence           16  salt 1, 20 salt 2
//   24  checksum of bytes 0..23 (two words)
// Then frames: 24 bytes of header and one page. Frame i (from 1) is at 32 + (i-1) * (24 + page).
//    0  page number                    4  database size in pages after a commit, 0 if no commit
//    8  salt 1, 12 salt 2 (of the header)
//   16  running checksum over the WAL header's checksum, then bytes 0..7 and the page of each frame
// A frame is valid if and only if its salts are the header's, its checksum fits, and all frames
// before it are valid.
//
// Wal-index region 0 (native byte order): two copies of a 48-byte header, then the checkpoint info:
//    0, 48  WalIndexHeader             96  nBackfill
//  100  five read marks               120  lock bytes        128  nBackfillAttempted
// Regions are 32 KiB: 4096 page numbers, then a hash of 8192 16-bit slots; in region 0 the first
// 136 bytes are the header's (so it has 4062 page numbers). Threading: pure functions and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"

namespace understudy::sqlite {

inline constexpr uint32_t kWalMagicLittleEndian = 0x377f0682;
inline constexpr uint32_t kWalMagicBigEndian = 0x377f0683;
inline constexpr uint32_t kWalVersion = 3007000;
inline constexpr size_t kWalHeaderBytes = 32;
inline constexpr size_t kWalFrameHeaderBytes = 24;

// The running checksum over pairs of words.
struct WalChecksum {
  uint32_t s0 = 0;
  uint32_t s1 = 0;
  bool operator==(const WalChecksum&) const = default;
};

namespace internal {
template <bool kSwap>
inline WalChecksum AddWords(WalChecksum sum, const uint8_t* bytes, size_t size) {
  uint32_t s0 = sum.s0;
  uint32_t s1 = sum.s1;
  const auto word = [](const uint8_t* at) {
    return kSwap ? base::LoadBe32(at) : base::LoadLe<uint32_t>(at);
  };
  // The two additions per step that wait for each other are the whole cost; (s0 + x) and (s1 + y)
  // are computed beside them.
  size_t at = 0;
  for (; at + 32 <= size; at += 32) {
    s0 = (s0 + word(bytes + at)) + s1;
    s1 = (s1 + word(bytes + at + 4)) + s0;
    s0 = (s0 + word(bytes + at + 8)) + s1;
    s1 = (s1 + word(bytes + at + 12)) + s0;
    s0 = (s0 + word(bytes + at + 16)) + s1;
    s1 = (s1 + word(bytes + at + 20)) + s0;
    s0 = (s0 + word(bytes + at + 24)) + s1;
    s1 = (s1 + word(bytes + at + 28)) + s0;
  }
  for (; at + 8 <= size; at += 8) {
    s0 = (s0 + word(bytes + at)) + s1;
    s1 = (s1 + word(bytes + at + 4)) + s0;
  }
  return {s0, s1};
}
}  // namespace internal

// REQUIRES: bytes.size() is a multiple of 8.
inline WalChecksum AddToWalChecksum(WalChecksum sum, base::ByteView bytes, bool big_endian) {
  return big_endian ? internal::AddWords<true>(sum, bytes.data(), bytes.size())
                    : internal::AddWords<false>(sum, bytes.data(), bytes.size());
}

// The two numbers that all frames of one run of the WAL share; a restart changes them.
struct WalSalts {
  uint32_t salt1 = 0;
  uint32_t salt2 = 0;
  bool operator==(const WalSalts&) const = default;
};

struct WalHeader {
  bool big_endian = false;  // of the words in checksums
  uint32_t page_size = 0;
  uint32_t sequence = 0;
  WalSalts salts;
  WalChecksum checksum;  // the running checksum before frame 1
};

inline bool IsWalPageSize(uint32_t bytes) {
  return bytes >= 512 && bytes <= 65536 && (bytes & (bytes - 1)) == 0;
}

// Nothing when the bytes are not a valid WAL header (also while one is being written).
inline std::optional<WalHeader> ParseWalHeader(base::ByteView bytes) {
  if (bytes.size() < kWalHeaderBytes) return std::nullopt;
  const uint8_t* p = bytes.data();
  const uint32_t magic = base::LoadBe32(p);
  if ((magic & ~1U) != kWalMagicLittleEndian || base::LoadBe32(p + 4) != kWalVersion)
    return std::nullopt;
  WalHeader header;
  header.big_endian = magic == kWalMagicBigEndian;
  header.page_size = base::LoadBe32(p + 8);
  header.sequence = base::LoadBe32(p + 12);
  header.salts = {base::LoadBe32(p + 16), base::LoadBe32(p + 20)};
  header.checksum = AddToWalChecksum({}, bytes.first(24), header.big_endian);
  if (header.checksum != WalChecksum{base::LoadBe32(p + 24), base::LoadBe32(p + 28)} ||
      !IsWalPageSize(header.page_size))
    return std::nullopt;
  return header;
}

// Writes 32 bytes and sets header.checksum.
inline void StoreWalHeader(uint8_t* to, WalHeader& header) {
  base::StoreBe32(to, header.big_endian ? kWalMagicBigEndian : kWalMagicLittleEndian);
  base::StoreBe32(to + 4, kWalVersion);
  base::StoreBe32(to + 8, header.page_size);
  base::StoreBe32(to + 12, header.sequence);
  base::StoreBe32(to + 16, header.salts.salt1);
  base::StoreBe32(to + 20, header.salts.salt2);
  header.checksum = AddToWalChecksum({}, {to, 24}, header.big_endian);
  base::StoreBe32(to + 24, header.checksum.s0);
  base::StoreBe32(to + 28, header.checksum.s1);
}

struct WalFrameHeader {
  base::PageNo page;
  uint32_t pages_after = 0;  // 0: not a commit
  WalSalts salts;
  WalChecksum checksum;
};

// REQUIRES: 24 bytes at `p`.
inline WalFrameHeader ParseWalFrameHeader(const uint8_t* p) {
  return {.page = base::PageNo(base::LoadBe32(p)),
          .pages_after = base::LoadBe32(p + 4),
          .salts = {base::LoadBe32(p + 8), base::LoadBe32(p + 12)},
          .checksum = {base::LoadBe32(p + 16), base::LoadBe32(p + 20)}};
}

// The running checksum after a frame. REQUIRES: `frame` is 24 bytes of header and the page.
inline WalChecksum AddFrame(WalChecksum sum, base::ByteView frame, bool big_endian) {
  sum = AddToWalChecksum(sum, frame.first(8), big_endian);
  return AddToWalChecksum(sum, frame.subspan(kWalFrameHeaderBytes), big_endian);
}

// Writes the 24 bytes of header in front of the page already at to + 24, and returns the running
// checksum.
inline WalChecksum StoreWalFrameHeader(uint8_t* to, base::PageNo page, uint32_t pages_after,
                                       const WalHeader& wal, WalChecksum before) {
  base::StoreBe32(to, page.value);
  base::StoreBe32(to + 4, pages_after);
  base::StoreBe32(to + 8, wal.salts.salt1);
  base::StoreBe32(to + 12, wal.salts.salt2);
  const WalChecksum after =
      AddFrame(before, {to, kWalFrameHeaderBytes + wal.page_size}, wal.big_endian);
  base::StoreBe32(to + 16, after.s0);
  base::StoreBe32(to + 20, after.s1);
  return after;
}

// Frames count from 1.
inline constexpr uint64_t WalFrameOffset(uint64_t frame, uint32_t page_size) {
  return kWalHeaderBytes + (frame - 1) * (kWalFrameHeaderBytes + uint64_t{page_size});
}

// How many frames a WAL file of so many bytes has room for.
inline constexpr uint32_t WalFramesIn(uint64_t bytes, uint32_t page_size) {
  if (bytes < kWalHeaderBytes) return 0;
  const uint64_t frames = (bytes - kWalHeaderBytes) / (kWalFrameHeaderBytes + page_size);
  return static_cast<uint32_t>(frames < UINT32_MAX ? frames : UINT32_MAX);
}

// ---- wal-index ----

inline constexpr size_t kIndexRegionBytes = 32768;
inline constexpr size_t kIndexHeaderBytes = 48;
inline constexpr size_t kIndexBackfillOffset = 96;
inline constexpr size_t kIndexReadMarksOffset = 100;
inline constexpr size_t kIndexBackfillAttemptedOffset = 128;
inline constexpr size_t kIndexHashOffset = 16384;  // in each region
inline constexpr uint32_t kIndexHashSlots = 8192;
inline constexpr uint32_t kIndexHashMultiplier = 383;  // slot = page * 383 & 8191, then linear
inline constexpr uint32_t kIndexPagesPerRegion = 4096;
inline constexpr uint32_t kIndexPagesFirstRegion = 4062;  // 4096 - 136 / 4
inline constexpr size_t kIndexPagesOffsetFirstRegion = 136;
inline constexpr uint32_t kIndexVersion = 3007000;
inline constexpr uint32_t kReadMarkUnused = 0xffffffff;
inline constexpr int kReadMarks = 5;

// Lock numbers for xShmLock (byte 120 + number of the -shm file).
inline constexpr int kLockWrite = 0;
inline constexpr int kLockCheckpoint = 1;
inline constexpr int kLockRecover = 2;
inline constexpr int kLockRead0 = 3;  // kLockRead0 + i is READ_LOCK(i)

// The region that holds a frame's page number, from 0.
inline constexpr uint32_t IndexRegionOf(uint32_t frame) {
  return (frame + kIndexPagesPerRegion - kIndexPagesFirstRegion - 1) / kIndexPagesPerRegion;
}

// SQLite's WalIndexHdr, byte for byte (checked below).
struct WalIndexHeader {
  uint32_t version = kIndexVersion;
  uint32_t unused = 0;
  uint32_t change = 0;  // goes up at every commit
  uint8_t initialised = 1;
  uint8_t big_endian_checksum = 0;
  uint16_t stored_page_size = 0;  // 1 means 65536
  uint32_t mx_frame = 0;
  uint32_t pages = 0;
  uint32_t frame_checksum[2] = {0, 0};
  uint8_t salts[8] = {};  // the bytes of the WAL header
  uint32_t checksum[2] = {0, 0};

  uint32_t page_size() const {
    return (stored_page_size & 0xfe00U) + ((stored_page_size & 1U) << 16);
  }
  void set_page_size(uint32_t bytes) {
    stored_page_size = static_cast<uint16_t>((bytes & 0xff00U) | (bytes >> 16));
  }
  WalSalts wal_salts() const { return {base::LoadBe32(salts), base::LoadBe32(salts + 4)}; }
  WalChecksum frame_sum() const { return {frame_checksum[0], frame_checksum[1]}; }
  // Over everything before `checksum`.
  WalChecksum ComputeChecksum() const {
    return AddToWalChecksum({}, {reinterpret_cast<const uint8_t*>(this), 40}, false);
  }
  bool valid() const {
    return initialised != 0 && ComputeChecksum() == WalChecksum{checksum[0], checksum[1]};
  }
};
static_assert(sizeof(WalIndexHeader) == kIndexHeaderBytes);
static_assert(offsetof(WalIndexHeader, mx_frame) == 16);
static_assert(offsetof(WalIndexHeader, salts) == 32);

}  // namespace understudy::sqlite
