// SPDX-License-Identifier: Apache-2.0
// Chunks: runs of consecutive page frames of an LTX snapshot, the unit in which backup, verify and
// restore compress, write, read and check in parallel.
//
// A chunk covers kChunkBytes of pages (at least one page) and is independent of its neighbours; its
// sums are combined with theirs afterwards (XOR for the database checksum, CombineCrc64 for the
// file checksum). The lock page has no frame.
// Threading: pure functions; a PageEncoder is confined to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"

namespace understudy::backup {

inline constexpr uint32_t kChunkBytes = 1 << 20;
inline uint32_t ChunkPages(uint32_t page_size) { return kChunkBytes / page_size; }

// An upper bound of the size of one frame.
inline size_t FrameBytesMax(uint32_t page_size) { return page_size + page_size / 255 + 64; }

struct EncodedChunk {
  base::PageNo first;
  uint32_t pages = 0;           // with the lock page, if it is among them
  base::Bytes buffer;           // at least FrameBytesMax a page; kept for the next use
  size_t bytes = 0;             // of it are used
  std::vector<uint32_t> sizes;  // of the frames
  uint64_t crc64 = 0;           // over headers and decompressed pages
  uint64_t crc64_bytes = 0;     // how many bytes that is
  base::ByteView frames() const { return {buffer.data(), bytes}; }  // as they stand in the file
};

class PageEncoder {
 public:
  PageEncoder();
  ~PageEncoder();
  PageEncoder(const PageEncoder&) = delete;
  PageEncoder& operator=(const PageEncoder&) = delete;

  // Fills `chunk` from its first page and `images`, which are its pages one after the other; takes
  // the read-only mark off page 1 there.
  // REQUIRES: images.size() is a multiple of page_size, at most ChunkPages.
  void Encode(base::PageNo first, uint32_t page_size, std::span<uint8_t> images,
              EncodedChunk& chunk);

 private:
  size_t EncodePage(base::ByteView page, uint8_t* out);

  struct Compressor;
  const std::unique_ptr<Compressor> compressor_;
};

struct ChunkSums {
  uint64_t crc64 = 0;
  uint64_t crc64_bytes = 0;
  uint64_t database_checksum = 0;
};

// Decodes the frames of the pages first .. first + images.size() / page_size - 1, which must be
// exactly `frames`; the lock page comes out as zeros. kCorruption names the page.
// `hashes`, if not empty, has one for each page and gets their hashes; 0 for the lock page.
base::Result<ChunkSums> DecodeChunk(base::PageNo first, uint32_t page_size, base::ByteView frames,
                                    std::span<uint8_t> images, std::span<uint64_t> hashes = {});

}  // namespace understudy::backup
