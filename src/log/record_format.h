// SPDX-License-Identifier: Apache-2.0
// Constants of the record part, shared by its one writer (record_encoder.cc) and its one reader
// (record.cc). Byte table: docs/formats/log.md. Threading: constants.
//
//   offset  size    field
//   0       4       magic "UREC"
//   4       2       version (1)
//   6       2       flags (PartFlags)
//   8       4       length of the part in bytes, this header and the CRC included
//   12      16      database id
//   28      8       checksum_before
//   36      varint  part, term, seq_first, seq_last - seq_first, commit time (unix ms),
//                   log2(page_size), pages_after, entry_count
//           28      only with kPartLast: checksum_after (8), source position (5 x 4)
//           …       entries: page varint, (payload length * 4 + encoding) varint, hash (8), payload
//   end-4   4       CRC-32C of all bytes before it
// All numbers are little-endian; varints are LEB128.
#pragma once

#include <cstddef>
#include <cstdint>

namespace understudy::log {

inline constexpr uint32_t kPartMagic = 0x43455255;  // the bytes "UREC"
inline constexpr uint16_t kPartVersion = 1;
inline constexpr size_t kPartFixedBytes = 36;
inline constexpr size_t kPartTailBytes = 28;  // checksum_after and source
inline constexpr size_t kPartCrcBytes = 4;
// 36 fixed, five varints of at most 10 bytes, three of at most 5, and the tail.
inline constexpr size_t kPartHeaderBytesMax = kPartFixedBytes + 5 * 10 + 3 * 5 + kPartTailBytes;
// The smallest part: 36 fixed bytes, eight one-byte varints, the CRC.
inline constexpr size_t kPartBytesMin = kPartFixedBytes + 8 + kPartCrcBytes;
// The smallest entry: two one-byte varints and the hash.
inline constexpr size_t kEntryBytesMin = 10;
inline constexpr size_t kEntryHeaderBytesMax = 5 + 3 + 8;
inline constexpr uint16_t kPartFlagsKnown = 15;

}  // namespace understudy::log
