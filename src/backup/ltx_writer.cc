// SPDX-License-Identifier: Apache-2.0
#include "backup/ltx_writer.h"

#include <array>

#include "backup/crc64.h"
#include "base/check.h"

namespace understudy::backup {

base::Result<std::unique_ptr<LtxWriter>> LtxWriter::Begin(Sink sink, const LtxHeader& header) {
  std::unique_ptr<LtxWriter> writer(new LtxWriter(std::move(sink), header.page_size));
  std::array<uint8_t, kLtxHeaderBytes> bytes{};
  EncodeLtxHeader(header, bytes);
  RETURN_IF_ERROR(writer->Write(bytes));
  writer->crc64_ = Crc64(bytes);
  return writer;
}

base::Status LtxWriter::Write(base::ByteView bytes) {
  RETURN_IF_ERROR(sink_(bytes));
  bytes_ += bytes.size();
  return base::Status();
}

base::Status LtxWriter::Append(const EncodedChunk& chunk) {
  CHECK(chunk.first.value >= next_.value);
  const uint64_t begin = bytes_;
  uint64_t offset = begin;
  size_t frame = 0;
  for (uint32_t page = chunk.first.value; page < chunk.first.value + chunk.pages; ++page) {
    if (page == LockPage(page_size_)) continue;
    base::AppendVarint(index_, page);
    base::AppendVarint(index_, offset);
    base::AppendVarint(index_, chunk.sizes[frame]);
    offset += chunk.sizes[frame++];
  }
  RETURN_IF_ERROR(Write(chunk.frames()));
  CHECK(offset == bytes_);
  places_.push_back({begin, chunk.bytes});
  crc64_ = CombineCrc64(crc64_, chunk.crc64, chunk.crc64_bytes);
  next_ = base::PageNo(chunk.first.value + chunk.pages);
  return base::Status();
}

base::Status LtxWriter::Finish() {
  index_.push_back(0);
  const uint64_t index_bytes = index_.size();
  std::array<uint8_t, 8> number{};
  base::StoreBe64(number.data(), index_bytes);
  base::AppendBytes(index_, number);

  const std::array<uint8_t, kLtxPageHeaderBytes> end_of_frames{};
  const std::array<uint8_t, 8> post_apply_checksum{};  // zero, because of NoChecksum
  crc64_ = ExtendCrc64(crc64_, end_of_frames);
  crc64_ = ExtendCrc64(crc64_, index_);
  crc64_ = ExtendCrc64(crc64_, post_apply_checksum);
  file_checksum_ = crc64_ | kLtxChecksumFlag;
  RETURN_IF_ERROR(Write(end_of_frames));
  RETURN_IF_ERROR(Write(index_));
  RETURN_IF_ERROR(Write(post_apply_checksum));
  base::StoreBe64(number.data(), file_checksum_);
  return Write(number);
}

}  // namespace understudy::backup
