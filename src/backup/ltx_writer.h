// SPDX-License-Identifier: Apache-2.0
// LtxWriter: the one writer of LTX files (ltx_format.h): header, chunks in order of pages, then
// Finish writes the index and the trailer.
//
// It neither syncs nor names the file for good; that is the backup engine's. Memory: the index,
// about 9 bytes a page. Threading: thread-compatible.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backup/ltx_format.h"
#include "backup/page_codec.h"

namespace understudy::backup {

class LtxWriter {
 public:
  // Gets the bytes of the file, in order.
  using Sink = std::function<base::Status(base::ByteView bytes)>;
  // Writes the header.
  static base::Result<std::unique_ptr<LtxWriter>> Begin(Sink sink, const LtxHeader& header);

  // REQUIRES: chunk.first is after the last page appended; right after it in a snapshot.
  base::Status Append(const EncodedChunk& chunk);
  base::Status Finish();

  uint64_t bytes() const { return bytes_; }
  // Where the i-th appended chunk stands in the file.
  struct Place {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t end() const { return offset + bytes; }
  };
  const std::vector<Place>& places() const { return places_; }

  // After Finish.
  uint64_t file_checksum() const { return file_checksum_; }

 private:
  LtxWriter(Sink sink, uint32_t page_size) : sink_(std::move(sink)), page_size_(page_size) {}
  base::Status Write(base::ByteView bytes);

  const Sink sink_;
  const uint32_t page_size_;
  uint64_t bytes_ = 0;
  uint64_t crc64_ = 0;
  uint64_t file_checksum_ = 0;
  base::PageNo next_{1};
  base::Bytes index_;
  std::vector<Place> places_;
};

}  // namespace understudy::backup
