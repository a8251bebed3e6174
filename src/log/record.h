// SPDX-License-Identifier: Apache-2.0
// The record: one committed batch of page changes, as it stands in log files and on the wire.
//
// A record is written as one or more *parts*, so that a commit as large as the database needs no
// more memory than a part. Every part is a self-contained, checksummed run of bytes; the same bytes
// are in the active's log, on the wire and in the passive's log. A record counts only when its last
// part is there.
//
// Byte table: docs/formats/log.md. One writer (record_encoder.h), one reader (here).
// Rules that a receiver checks, cited by number elsewhere:
//   R1  parts of a record come in order 0, 1, 2, …; only the last has kPartLast
//   R2  seq_first of a record is seq_last of the record before it + 1
//   R3  term never goes down; it goes up only at a record with kRecordMount
//   R4  checksum_before of a record is checksum_after of the record before it
//   R5  checksum_after (valid in the last part) is what the page table has after the record
//   R6  an entry's hash is that of the page's image after the record; a wrong base shows
//   here
// Threading: values; a RecordPart borrows its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "log/page_table.h"

namespace understudy::log {

// No part is larger; a reader refuses a longer one before allocating anything for it.
inline constexpr uint32_t kPartBytesMax = 1 << 20;
// The encoder ends a part once it has this many bytes.
inline constexpr uint32_t kPartBytesTarget = 256 << 10;

enum PartFlags : uint16_t {
  kPartFirst = 1,      // part 0 of its record
  kPartLast = 2,       // the record is complete with this part
  kRecordMount = 4,    // begins a term; has no entries
  kRecordHealing = 8,  // pages that differed after capture was away
};

// Where in the active's WAL a record ends: what lets capture go on after a restart. Zero on a mount
// record of a database whose WAL is empty. Salts and sums as in the WAL header's bytes, host order
// after a BE load.
struct SourcePosition {
  uint32_t salt1 = 0;
  uint32_t salt2 = 0;
  uint32_t frame = 0;      // frames up to here are in the log
  uint32_t checksum1 = 0;  // running checksum at that frame
  uint32_t checksum2 = 0;

  bool operator==(const SourcePosition&) const = default;
};

struct PartHeader {
  uint16_t flags = 0;
  uint32_t part = 0;  // 0, 1, 2, … within the record
  base::DatabaseId database{};
  base::Term term{};
  base::Seq seq_first{};
  base::Seq seq_last{};
  base::WallTime commit_time{};  // of the newest commit in the record, by the active's clock
  uint32_t page_size = 0;
  uint32_t pages_after = 0;  // database size in pages after the record
  uint64_t checksum_before = 0;
  uint64_t checksum_after = 0;  // meaningful with kPartLast, 0 otherwise
  SourcePosition source{};      // meaningful with kPartLast
  uint32_t entry_count = 0;     // in this part

  bool first() const { return (flags & kPartFirst) != 0; }
  bool last() const { return (flags & kPartLast) != 0; }
  base::Position position() const { return {term, seq_last}; }
};

enum class Encoding : uint8_t {
  kZero = 0,   // the page is all zeros; no payload
  kRaw = 1,    // the page as it is
  kZstd = 2,   // a zstd frame of the page
  kDelta = 3,  // a zstd frame of the page with the page's image before this record as prefix
};

struct Entry {
  base::PageNo page{};
  Encoding encoding = Encoding::kRaw;
  uint64_t hash = 0;  // HashPage of the image after the record
  base::ByteView payload{};
};

struct RecordPart {
  PartHeader header;
  std::vector<Entry> entries{};
  base::ByteView bytes{};  // the whole part
};

// The length of the part that starts at `bytes`, from its first kPartLengthPrefix bytes;
// kCorruption if they cannot start a part.
inline constexpr size_t kPartLengthPrefix = 12;
base::Result<uint32_t> PartLength(base::ByteView bytes);

// Parses and checks one whole part (`bytes` is exactly PartLength long): magic, version, CRC, and
// that every field and entry is possible. kCorruption otherwise; never crashes, never reads
// outside.
base::Result<RecordPart> ParsePart(base::ByteView bytes);

// The page image of an entry into `out` (page_size bytes), checked against entry.hash (R6:
// kCorruption). `base` is the page's image before the record, needed for kDelta only; pass an empty
// view where there is none.
class EntryDecoder {
 public:
  EntryDecoder();
  ~EntryDecoder();
  EntryDecoder(const EntryDecoder&) = delete;
  EntryDecoder& operator=(const EntryDecoder&) = delete;

  // On page 1 the result has the write version of an active copy (2), never the read-only mark.
  // REQUIRES: `out` does not overlap `base`.
  base::Status Decode(const Entry& entry, base::ByteView base, std::span<uint8_t> out);

  // About 160 KiB are held from the first compressed entry on; an idle owner gives them back.
  void ReleaseMemory();

 private:
  base::Status Decompress(const Entry& entry, base::ByteView base, std::span<uint8_t> out);

  void* context_ = nullptr;  // ZSTD_DCtx, made when first needed
  base::Bytes base_;         // page 1 without the mark
};

}  // namespace understudy::log
