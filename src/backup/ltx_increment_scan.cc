// SPDX-License-Identifier: Apache-2.0
// ScanIncrement: increments are small, so one thread reads and decodes them, in order.
#include <algorithm>

#include "backup/crc64.h"
#include "backup/file_hash.h"
#include "backup/ltx_reader.h"

namespace understudy::backup {
namespace {

// The frames that are read at once: at least one, and no more than a chunk of raw bytes.
size_t BatchEnd(const std::vector<LtxFrame>& frames, size_t begin) {
  size_t end = begin;
  uint64_t bytes = 0;
  while (end < frames.size() && (end == begin || bytes + frames[end].bytes <= kChunkBytes)) {
    bytes += frames[end++].bytes;
  }
  return end;
}

}  // namespace

base::Result<std::string> ScanIncrement(const LtxFile& file, const ScanOptions& options,
                                        std::vector<uint64_t>& hashes) {
  const std::vector<LtxFrame>& frames = file.frames();
  const uint32_t page_size = file.header().page_size;
  hashes.resize(file.header().commit);
  FileHash hash;
  hash.Add(file.head());
  ChunkSums total;
  base::Bytes raw;
  base::Bytes image(page_size);
  for (size_t begin = 0; begin < frames.size();) {
    const size_t end = BatchEnd(frames, begin);
    const uint64_t offset = frames[begin].offset;
    raw.resize(frames[end - 1].offset + frames[end - 1].bytes - offset);
    RETURN_IF_ERROR(ReadExactly(file.file(), offset, raw).WithContext(file.name()));
    hash.Add(raw);
    for (size_t i = begin; i < end; ++i) {
      const base::PageNo page(frames[i].page);
      const base::ByteView frame =
          base::ByteView(raw).subspan(frames[i].offset - offset, frames[i].bytes);
      const auto sums =
          DecodeChunk(page, page_size, frame, image, std::span(hashes).subspan(page.value - 1, 1));
      if (!sums.ok()) return sums.status().WithContext(file.name());
      total.crc64 = CombineCrc64(total.crc64, sums->crc64, sums->crc64_bytes);
      total.crc64_bytes += sums->crc64_bytes;
      if (options.sink) RETURN_IF_ERROR(options.sink(page, image));
    }
    begin = end;
    if (options.progress && !options.progress({options.phase, uint64_t{begin} * page_size,
                                               uint64_t{frames.size()} * page_size})) {
      return base::Cancelled(options.phase + " was cancelled");
    }
  }
  hash.Add(file.tail());
  RETURN_IF_ERROR(file.CheckFileChecksum(total.crc64, total.crc64_bytes));
  return hash.Hex();
}

}  // namespace understudy::backup
