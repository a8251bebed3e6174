// SPDX-License-Identifier: Apache-2.0
#include "backup/increment_file.h"

#include <fmt/format.h>

#include "backup/ltx_reader.h"
#include "backup/ltx_writer.h"

namespace understudy::backup {
namespace {

// How many of `pages`, from the i-th, are neighbours that fit into a chunk.
uint32_t RunLength(const std::vector<uint32_t>& pages, size_t i, uint32_t page_size) {
  uint32_t length = 1;
  while (i + length < pages.size() && pages[i + length] == pages[i] + length &&
         length < ChunkPages(page_size)) {
    ++length;
  }
  return length;
}

// Where the hashes are those of the log, nobody has yet looked at what the file has.
base::Status CheckImages(const IncrementContent& content, uint32_t first, base::ByteView images) {
  const BackupDocument& document = content.document;
  const uint32_t page_size = document.page_size;
  for (uint32_t i = 0; i < images.size() / page_size; ++i) {
    const base::PageNo page(first + i);
    const uint64_t hash = log::HashPage(page, images.subspan(size_t{i} * page_size, page_size));
    if (hash == content.hashes[page.value - 1]) continue;
    return base::Corruption(fmt::format(
        "page {} of {} on {} has the hash {:016x}, on record at {} is {:016x}\nunderstudy scrub {} "
        "{} --wait repairs it from another copy",
        page.value, document.database_name, document.server, hash,
        base::ToString(document.position), content.hashes[page.value - 1], document.database_name,
        document.server));
  }
  return {};
}

base::Status Write(store::Upload& upload, SnapshotSource& source, const IncrementContent& content,
                   IncrementSums& sums) {
  const uint32_t page_size = content.document.page_size;
  const std::vector<uint32_t>& pages = content.pages;
  const auto append = [&](base::ByteView bytes) { return upload.Append(bytes); };
  ASSIGN_OR_RETURN(const auto writer, LtxWriter::Begin(append, content.header));
  PageEncoder encoder;
  EncodedChunk chunk;
  base::Bytes images;
  for (size_t i = 0; i < pages.size();) {
    const uint32_t count = RunLength(pages, i, page_size);
    images.resize(size_t{count} * page_size);
    RETURN_IF_ERROR(source.ReadPages(base::PageNo(pages[i]), count, images)
                        .WithContext(fmt::format("reading from page {}", pages[i])));
    RETURN_IF_ERROR(CheckImages(content, pages[i], images));
    encoder.Encode(base::PageNo(pages[i]), page_size, images, chunk);
    RETURN_IF_ERROR(writer->Append(chunk));
    i += count;
    if (content.progress &&
        !content.progress({.phase = "backing up",
                           .bytes_done = uint64_t{i} * page_size,
                           .bytes_total = uint64_t{pages.size()} * page_size})) {
      return base::Cancelled("the backup was cancelled");
    }
  }
  RETURN_IF_ERROR(writer->Finish());
  sums.bytes = writer->bytes();
  sums.crc64 = writer->file_checksum();
  return upload.Store(sums.bytes, /*whole=*/true).status();
}

base::Status ReadBack(store::Upload& upload, const IncrementContent& content, IncrementSums& sums) {
  ASSIGN_OR_RETURN(auto opened, upload.OpenStored());
  ASSIGN_OR_RETURN(const auto file, LtxFile::Open(std::move(opened), content.path));
  RETURN_IF_ERROR(file->CheckIncrement());
  std::vector<uint64_t> hashes = content.base_hashes;
  ASSIGN_OR_RETURN(
      sums.xxh3_128,
      ScanIncrement(*file, {.phase = "verifying", .progress = content.progress, .sink = {}},
                    hashes));
  if (file->bytes() != sums.bytes || file->file_checksum() != sums.crc64 ||
      !(file->header() == content.header) || hashes != content.hashes) {
    return base::Corruption(content.path + ": what was read back is not what was written");
  }
  return {};
}

}  // namespace

base::Result<IncrementSums> StoreIncrement(store::Upload& upload, SnapshotSource& source,
                                           const IncrementContent& content) {
  IncrementSums sums;
  RETURN_IF_ERROR(Write(upload, source, content, sums));
  RETURN_IF_ERROR(ReadBack(upload, content, sums));
  return sums;
}

}  // namespace understudy::backup
