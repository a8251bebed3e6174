// SPDX-License-Identifier: Apache-2.0
// Page hashes and the database checksum (docs/formats/log.md, "Checksums").
//
// HashPage is XXH3-64 of the little-endian page number followed by the page; on page 1 the
// read-only mark (byte 18, the write version, 3) is hashed as 2, so that active and passive copies
// have equal hashes. PageTable keeps the hash of every page of one database and their XOR, the
// database checksum, incrementally.
//
// Memory: 8 bytes a page. Threading: thread-compatible values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace understudy::log {

inline constexpr size_t kWriteVersionOffset =
    18;  // in page 1: the SQLite file format's write version
inline constexpr uint8_t kWriteVersionWal = 2;
inline constexpr uint8_t kWriteVersionReadOnly =
    3;  // the read-only mark of a passive or fenced copy

inline constexpr uint32_t kPageSizeMin = 512;
inline constexpr uint32_t kPageSizeMax = 65536;
bool IsPageSize(uint32_t bytes);

uint64_t HashPage(base::PageNo page, base::ByteView image);

class PageTable {
 public:
  uint32_t pages() const { return static_cast<uint32_t>(hashes_.size()); }
  uint64_t checksum() const { return checksum_; }

  // 0 for a page that was never set (it is not part of the checksum then).
  uint64_t HashOf(base::PageNo page) const;
  // Grows the table if needed.
  void Set(base::PageNo page, uint64_t hash);
  // Forgets the pages after `pages`, or adds unset ones.
  void Resize(uint32_t pages);

  const std::vector<uint64_t>& hashes() const { return hashes_; }

 private:
  std::vector<uint64_t> hashes_;  // of page i + 1
  uint64_t checksum_ = 0;         // invariant: XOR of hashes_
};

}  // namespace understudy::log
