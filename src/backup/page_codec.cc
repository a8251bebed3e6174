// SPDX-License-Identifier: Apache-2.0
#include "backup/page_codec.h"

#include <fmt/format.h>
#include <lz4.h>

#include <algorithm>
#include <cstring>

#include "backup/crc64.h"
#include "backup/ltx_format.h"
#include "base/check.h"
#include "log/page_table.h"

namespace understudy::backup {
namespace {

// LZ4's trade of ratio for speed: measured on half-compressible pages (bench/backup_bench).
constexpr int kAcceleration = 4;

// LZ4 block of nothing but literals: what cannot be compressed costs no more than a copy to decode.
size_t EncodeLiterals(base::ByteView page, uint8_t* out) {
  uint8_t* at = out;
  size_t rest = page.size() - 15;  // REQUIRES a page size of 15 or more, and they are >= 512
  *at++ = 0xf0;
  for (; rest >= 255; rest -= 255) *at++ = 255;
  *at++ = static_cast<uint8_t>(rest);
  std::memcpy(at, page.data(), page.size());
  return static_cast<size_t>(at - out) + page.size();
}

}  // namespace

struct PageEncoder::Compressor {
  LZ4_stream_t stream;
};

PageEncoder::PageEncoder() : compressor_(std::make_unique<Compressor>()) {
  LZ4_initStream(&compressor_->stream, sizeof compressor_->stream);
}
PageEncoder::~PageEncoder() = default;

size_t PageEncoder::EncodePage(base::ByteView page, uint8_t* out) {
  // A reset stream makes an independent block, without clearing its 16 KiB table for every page.
  LZ4_resetStream_fast(&compressor_->stream);
  const int bytes =
      LZ4_compress_fast_continue(&compressor_->stream, reinterpret_cast<const char*>(page.data()),
                                 reinterpret_cast<char*>(out), static_cast<int>(page.size()),
                                 static_cast<int>(page.size()) - 1, kAcceleration);
  if (bytes > 0) return static_cast<size_t>(bytes);
  LZ4_initStream(&compressor_->stream, sizeof compressor_->stream);  // undefined after a failure
  return EncodeLiterals(page, out);
}

void PageEncoder::Encode(base::PageNo first, uint32_t page_size, std::span<uint8_t> images,
                         EncodedChunk& chunk) {
  const auto pages = static_cast<uint32_t>(images.size() / page_size);
  CHECK(images.size() == static_cast<size_t>(pages) * page_size && pages <= ChunkPages(page_size));
  const size_t frame_max = FrameBytesMax(page_size);
  chunk.first = first;
  chunk.pages = pages;
  chunk.sizes.clear();
  chunk.crc64 = 0;
  chunk.crc64_bytes = 0;
  if (chunk.buffer.size() < pages * frame_max) chunk.buffer.resize(pages * frame_max);

  if (first.value == 1 && images[log::kWriteVersionOffset] == log::kWriteVersionReadOnly) {
    images[log::kWriteVersionOffset] = log::kWriteVersionWal;
  }
  uint8_t* at = chunk.buffer.data();
  for (uint32_t i = 0; i < pages; ++i) {
    const base::PageNo page{first.value + i};
    if (page.value == LockPage(page_size)) continue;
    const base::ByteView image = images.subspan(static_cast<size_t>(i) * page_size, page_size);
    const size_t block = EncodePage(image, at + kLtxFrameHeaderBytes);
    base::StoreBe32(at, page.value);
    base::StoreBe16(at + 4, kLtxPageFlagSize);
    base::StoreBe32(at + kLtxPageHeaderBytes, static_cast<uint32_t>(block));
    chunk.crc64 = ExtendCrc64(ExtendCrc64(chunk.crc64, {at, kLtxFrameHeaderBytes}), image);
    chunk.crc64_bytes += kLtxFrameHeaderBytes + page_size;
    chunk.sizes.push_back(static_cast<uint32_t>(kLtxFrameHeaderBytes + block));
    at += kLtxFrameHeaderBytes + block;
  }
  chunk.bytes = static_cast<size_t>(at - chunk.buffer.data());
}

base::Result<ChunkSums> DecodeChunk(base::PageNo first, uint32_t page_size, base::ByteView frames,
                                    std::span<uint8_t> images, std::span<uint64_t> hashes) {
  const auto pages = static_cast<uint32_t>(images.size() / page_size);
  ChunkSums sums;
  for (uint32_t i = 0; i < pages; ++i) {
    const base::PageNo page{first.value + i};
    const std::span<uint8_t> image = images.subspan(static_cast<size_t>(i) * page_size, page_size);
    if (page.value == LockPage(page_size)) {
      std::fill(image.begin(), image.end(), uint8_t{0});
      continue;
    }
    if (frames.size() < kLtxFrameHeaderBytes || base::LoadBe32(frames.data()) != page.value ||
        base::LoadBe16(frames.data() + 4) != kLtxPageFlagSize) {
      return base::Corruption(
          fmt::format("page {}: no frame of it where it should be", page.value));
    }
    const uint32_t block = base::LoadBe32(frames.data() + kLtxPageHeaderBytes);
    if (block > frames.size() - kLtxFrameHeaderBytes ||
        block > FrameBytesMax(page_size) - kLtxFrameHeaderBytes) {
      return base::Corruption(fmt::format("page {}: its frame claims {} bytes", page.value, block));
    }
    const int decoded =
        LZ4_decompress_safe(reinterpret_cast<const char*>(frames.data() + kLtxFrameHeaderBytes),
                            reinterpret_cast<char*>(image.data()), static_cast<int>(block),
                            static_cast<int>(page_size));
    if (decoded != static_cast<int>(page_size)) {
      return base::Corruption(fmt::format("page {}: its data cannot be decompressed", page.value));
    }
    sums.crc64 = ExtendCrc64(ExtendCrc64(sums.crc64, frames.first(kLtxFrameHeaderBytes)), image);
    sums.crc64_bytes += kLtxFrameHeaderBytes + page_size;
    const uint64_t hash = log::HashPage(page, image);
    sums.database_checksum ^= hash;
    if (!hashes.empty()) hashes[i] = hash;
    frames = frames.subspan(kLtxFrameHeaderBytes + block);
  }
  if (!frames.empty()) {
    return base::Corruption(
        fmt::format("{} bytes too many after page {}", frames.size(), first.value + pages - 1));
  }
  return sums;
}

}  // namespace understudy::backup
