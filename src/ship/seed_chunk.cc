// SPDX-License-Identifier: Apache-2.0
#include "ship/seed_chunk.h"

#include <fmt/format.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>

#include "base/check.h"

namespace understudy::ship {

base::Status HashQueue::Add(SeedHashes&& message, const SeedLayout& layout, uint32_t next_chunk) {
  const uint64_t expected = uint64_t{next_chunk} + hashes_.size();
  if (message.chunk != expected || expected >= layout.chunks() ||
      hashes_.size() >= kSeedHashesAheadMax) {
    return base::InvalidArgument(
        fmt::format("the hashes of chunk {} came, but chunk {} of {} is next, {} chunks ahead at "
                    "most",
                    message.chunk, expected, layout.chunks(), kSeedHashesAheadMax));
  }
  hashes_.push_back(std::move(message.hashes));
  return {};
}

std::vector<uint64_t> HashQueue::Take() {
  std::vector<uint64_t> first = std::move(hashes_.front());
  hashes_.pop_front();
  return first;
}

SeedPacker::SeedPacker() : zstd_(ZSTD_createCCtx()) { CHECK(zstd_ != nullptr); }
SeedPacker::~SeedPacker() { ZSTD_freeCCtx(zstd_); }

void SeedPacker::Pack(base::Bytes images, uint32_t page_size, std::span<const uint64_t> theirs,
                      int zstd_level, SeedChunk& chunk) {
  CHECK(images.size() == size_t{chunk.page_count} * page_size);
  uint8_t* kept_end = images.data();
  for (uint32_t i = 0; i < chunk.page_count; ++i) {
    const uint8_t* const image = &images[size_t{i} * page_size];
    const base::PageNo page(chunk.first_page.value + i);
    if (i < theirs.size() && theirs[i] == log::HashPage(page, {image, page_size})) {
      chunk.unchanged.resize((chunk.page_count + 7) / 8);
      chunk.unchanged[i / 8] |= static_cast<uint8_t>(1u << (i % 8));
      continue;
    }
    if (image != kept_end) std::copy_n(image, page_size, kept_end);
    kept_end += page_size;
  }
  images.resize(static_cast<size_t>(kept_end - images.data()));
  if (images.empty()) return;
  chunk.pages_zstd.resize(ZSTD_compressBound(images.size()));
  const size_t bytes = ZSTD_compressCCtx(zstd_, chunk.pages_zstd.data(), chunk.pages_zstd.size(),
                                         images.data(), images.size(), zstd_level);
  CHECK(!ZSTD_isError(bytes));
  chunk.pages_zstd.resize(bytes);
  chunk.hash = XXH3_64bits(images.data(), images.size());
}

SeedUnpacker::SeedUnpacker() : zstd_(ZSTD_createDCtx()) { CHECK(zstd_ != nullptr); }
SeedUnpacker::~SeedUnpacker() { ZSTD_freeDCtx(zstd_); }

base::Status SeedUnpacker::Unpack(const SeedChunk& chunk, uint32_t page_size) {
  const size_t bytes = size_t{chunk.images()} * page_size;
  CHECK(bytes <= kSeedChunkBytesMax);
  images_.resize(bytes);
  if (bytes == 0) return {};
  const size_t got = ZSTD_decompressDCtx(zstd_, images_.data(), bytes, chunk.pages_zstd.data(),
                                         chunk.pages_zstd.size());
  if (!ZSTD_isError(got) && got == bytes && XXH3_64bits(images_.data(), bytes) == chunk.hash) {
    return {};
  }
  return base::Corruption(fmt::format("chunk {} was damaged on its way", chunk.chunk));
}

base::Status SeedUnpacker::Write(const SeedChunk& chunk, uint32_t page_size, SeedFile& file) const {
  const base::ByteView images(images_);
  size_t done = 0;
  for (uint32_t i = 0; i < chunk.page_count;) {  // runs of pages that have come
    uint32_t end = i;
    while (end < chunk.page_count && !chunk.IsUnchanged(end)) ++end;
    const size_t bytes = size_t{end - i} * page_size;
    if (bytes > 0) {
      RETURN_IF_ERROR(
          file.WritePages(base::PageNo(chunk.first_page.value + i), images.subspan(done, bytes)));
    }
    done += bytes;
    i = end + 1;
  }
  CHECK(done == images.size());
  return {};
}

}  // namespace understudy::ship
