// SPDX-License-Identifier: Apache-2.0
#include "backup/ltx_reader.h"

#include <fmt/format.h>

#include "backup/crc64.h"

namespace understudy::backup {
namespace {

// The end of an LTX file: index length, then trailer.
constexpr size_t kEndBytes = 8 + kLtxTrailerBytes;
constexpr uint64_t kSmallest = kLtxHeaderBytes + kLtxPageHeaderBytes + 1 + kEndBytes;

}  // namespace

base::Status ReadExactly(store::ObjectReader& file, uint64_t offset, std::span<uint8_t> out) {
  ASSIGN_OR_RETURN(const size_t got, file.ReadAt(offset, out));
  if (got == out.size()) return base::Status();
  return base::Corruption(
      fmt::format("the file ends at byte {}, {} bytes too early", offset + got, out.size() - got));
}

ChunkSums SumsOfChunks::Total() const {
  ChunkSums total;
  for (const ChunkSums& chunk : sums_) {
    total.crc64 = CombineCrc64(total.crc64, chunk.crc64, chunk.crc64_bytes);
    total.crc64_bytes += chunk.crc64_bytes;
    total.database_checksum ^= chunk.database_checksum;
  }
  return total;
}

base::Result<std::unique_ptr<LtxFile>> LtxFile::Open(std::unique_ptr<store::ObjectReader> file,
                                                     const std::string& name) {
  std::unique_ptr<LtxFile> ltx(new LtxFile(std::move(file), name));
  for (auto step : {&LtxFile::ReadHead, &LtxFile::ReadTail}) {
    if (base::Status status = (*ltx.*step)(); !status.ok()) return status.WithContext(name);
  }
  return ltx;
}

base::Status LtxFile::ReadHead() {
  ASSIGN_OR_RETURN(bytes_, file_->Size());
  if (bytes_ < kSmallest) {
    return base::Corruption(fmt::format("{} bytes are too few for an LTX file", bytes_));
  }
  head_.resize(kLtxHeaderBytes);
  RETURN_IF_ERROR(ReadExactly(*file_, 0, head_));
  ASSIGN_OR_RETURN(header_, DecodeLtxHeader(head_));
  return base::Status();
}

base::Status LtxFile::ReadTail() {
  std::array<uint8_t, kEndBytes> end{};
  RETURN_IF_ERROR(ReadExactly(*file_, bytes_ - kEndBytes, end));
  const uint64_t index_bytes = base::LoadBe64(end.data());
  const uint64_t index_max = bytes_ - kEndBytes - kLtxPageHeaderBytes - kLtxHeaderBytes;
  if (index_bytes < 1 || index_bytes > index_max) {
    return base::Corruption(
        fmt::format("its index claims {} bytes of a file of {}", index_bytes, bytes_));
  }
  if (base::LoadBe64(end.data() + 8) != 0) {
    return base::Corruption("a post-apply checksum although NoChecksum is set");
  }
  file_checksum_ = base::LoadBe64(end.data() + 16);

  const uint64_t frames_end = bytes_ - kEndBytes - index_bytes - kLtxPageHeaderBytes;
  tail_.resize(bytes_ - frames_end);
  RETURN_IF_ERROR(ReadExactly(*file_, frames_end, tail_));
  for (size_t i = 0; i < kLtxPageHeaderBytes; ++i) {
    if (tail_[i] != 0) return base::Corruption("no end mark after its last frame");
  }
  return ParseIndex(base::ByteView(tail_).subspan(kLtxPageHeaderBytes, index_bytes), frames_end);
}

base::Status LtxFile::ParseIndex(base::ByteView index, uint64_t end) {
  base::ByteReader reader(index);
  uint64_t offset = kLtxHeaderBytes;
  uint64_t last = 0;
  while (true) {
    const uint64_t page = reader.Varint();
    if (!reader.ok()) return base::Corruption("its index ends in the middle of an entry");
    if (page == 0) break;
    const uint64_t at = reader.Varint();
    const uint64_t size = reader.Varint();
    if (!reader.ok() || page <= last || page > header_.commit ||
        page == LockPage(header_.page_size) || at != offset || size <= kLtxFrameHeaderBytes ||
        size > FrameBytesMax(header_.page_size) || size > end - offset) {
      return base::Corruption(fmt::format("its index is wrong after page {}", last));
    }
    frames_.push_back({static_cast<uint32_t>(page), static_cast<uint32_t>(size), offset});
    offset += size;
    last = page;
  }
  if (reader.remaining() != 0 || offset != end) {
    return base::Corruption("its index does not cover its frames");
  }
  return base::Status();
}

base::Status LtxFile::CheckSnapshot() const {
  const uint32_t expected = SnapshotFrames(header_.page_size, header_.commit);
  // Pages ascend, none is the lock page or above commit: the count tells whether all are there.
  if (!header_.snapshot() || header_.commit == 0 || frames_.size() != expected) {
    return base::Corruption(
        fmt::format("{}: {} of {} pages: not a whole snapshot", name_, frames_.size(), expected));
  }
  return base::Status();
}

base::Status LtxFile::CheckIncrement() const {
  if (header_.snapshot() || header_.commit == 0 || frames_.empty()) {
    return base::Corruption(fmt::format("{}: {} pages from transaction {}: not an increment", name_,
                                        frames_.size(), header_.min_txid));
  }
  return base::Status();
}

base::Status LtxFile::CheckFileChecksum(uint64_t frames_crc64, uint64_t frames_bytes) const {
  uint64_t crc = CombineCrc64(Crc64(head_), frames_crc64, frames_bytes);
  crc = ExtendCrc64(crc, base::ByteView(tail_).first(tail_.size() - 8));
  if ((crc | kLtxChecksumFlag) == file_checksum_) return base::Status();
  return base::Corruption(fmt::format("{}: file checksum {:016x} instead of {:016x}", name_,
                                      crc | kLtxChecksumFlag, file_checksum_));
}

}  // namespace understudy::backup
