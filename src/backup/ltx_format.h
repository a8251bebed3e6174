// SPDX-License-Identifier: Apache-2.0
// LTX, format 3: the file format of superfly/ltx and Litestream 0.5, as far as we write and read
// it. Byte table: docs/formats/ltx.md. All numbers big-endian.
//
//   header   100 bytes
//   frames   u32 page number | u16 flags = 1 | u32 n | n bytes: an LZ4 block of page_size bytes
//   end      6 zero bytes
//   index    { uvarint page, uvarint offset of the frame, uvarint its size }… | 0 | u64 bytes so
//   far
//   trailer  u64 post-apply checksum | u64 file checksum
//
// Our files always have the NoChecksum flag, and zero as pre- and post-apply checksum (Litestream's
// restore refuses others); our own checksums are in the backup's document.
// Threading: values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"

namespace understudy::backup {

inline constexpr size_t kLtxHeaderBytes = 100;
inline constexpr size_t kLtxPageHeaderBytes = 6;
inline constexpr size_t kLtxFrameHeaderBytes = 10;  // with the size of the block
inline constexpr size_t kLtxTrailerBytes = 16;
inline constexpr uint32_t kLtxFlagNoChecksum = 2;
inline constexpr uint16_t kLtxPageFlagSize = 1;
inline constexpr uint64_t kLtxChecksumFlag = 1ULL << 63;  // set in every checksum of LTX
inline constexpr uint32_t kLtxSnapshotLevel = 9;
inline constexpr uint32_t kLtxDifferentialLevel = 8;
inline constexpr uint32_t kLtxIncrementalLevel = 7;

struct LtxHeader {
  uint32_t page_size = 0;
  uint32_t commit = 0;  // size of the database in pages
  uint64_t min_txid = 0;
  uint64_t max_txid = 0;
  int64_t timestamp_ms = 0;

  bool snapshot() const { return min_txid == 1; }
  bool operator==(const LtxHeader&) const = default;
};

// REQUIRES: a header that DecodeLtxHeader would accept.
void EncodeLtxHeader(const LtxHeader& header, std::span<uint8_t, kLtxHeaderBytes> out);
// kInvalidArgument: an LTX file of another kind than we write; kCorruption: not a valid header.
base::Result<LtxHeader> DecodeLtxHeader(base::ByteView bytes);

// The page that SQLite uses for its locks: it has no content and is in no LTX file.
inline uint32_t LockPage(uint32_t page_size) { return 0x40000000 / page_size + 1; }

// Pages in a snapshot of `commit` pages.
inline uint32_t SnapshotFrames(uint32_t page_size, uint32_t commit) {
  return commit - (commit >= LockPage(page_size) ? 1 : 0);
}

struct TxidRange {
  uint64_t min = 0;
  uint64_t max = 0;
};
std::string LtxFileName(TxidRange range);  // "0000000000000001-00000000000006ce.ltx"
std::optional<TxidRange> ParseLtxFileName(std::string_view name);

}  // namespace understudy::backup
