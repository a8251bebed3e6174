// SPDX-License-Identifier: Apache-2.0
// What a source and a target do with a SeedChunk: packing and unpacking the images of its pages,
// without those that the target has already; and the hashes that tell which these are.
// Memory: one chunk; hashes of kSeedHashesAheadMax chunks. Threading: each object is confined to
// one thread.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "ship/messages.h"
#include "ship/seed_file.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace understudy::ship {

// What a target has announced and the source has not used yet.
class HashQueue {
 public:
  // kInvalidArgument unless it is of the chunk after those in the queue, the first of which is
  // `next_chunk`.
  base::Status Add(SeedHashes&& message, const SeedLayout& layout, uint32_t next_chunk);
  void Clear() { hashes_.clear(); }
  bool empty() const { return hashes_.empty(); }
  // REQUIRES: not empty.
  std::vector<uint64_t> Take();

 private:
  std::deque<std::vector<uint64_t>> hashes_;  // at most kSeedHashesAheadMax
};

class SeedPacker {
 public:
  SeedPacker();
  ~SeedPacker();
  SeedPacker(const SeedPacker&) = delete;
  SeedPacker& operator=(const SeedPacker&) = delete;

  // Fills in unchanged, pages_zstd and hash. `images` are chunk.page_count pages of `page_size`;
  // `theirs` has the target's hashes of the first of them (log::HashPage).
  void Pack(base::Bytes images, uint32_t page_size, std::span<const uint64_t> theirs,
            int zstd_level, SeedChunk& chunk);

 private:
  ZSTD_CCtx_s* const zstd_;
};

class SeedUnpacker {
 public:
  SeedUnpacker();
  ~SeedUnpacker();
  SeedUnpacker(const SeedUnpacker&) = delete;
  SeedUnpacker& operator=(const SeedUnpacker&) = delete;

  // Decompresses and proves what `chunk` holds; kCorruption when it was damaged on its way.
  // REQUIRES: CheckMessage(chunk) is ok, and its pages fit a chunk.
  base::Status Unpack(const SeedChunk& chunk, uint32_t page_size);
  // Writes what was unpacked to its places; pages that were left out stay as they are.
  base::Status Write(const SeedChunk& chunk, uint32_t page_size, SeedFile& file) const;

 private:
  ZSTD_DCtx_s* const zstd_;
  base::Bytes images_;
};

}  // namespace understudy::ship
