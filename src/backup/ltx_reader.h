// SPDX-License-Identifier: Apache-2.0
// LtxFile: the one reader of LTX files: opens one, checks header, index and trailer against each
// other and the size of the file, and gives access to its frames. ScanSnapshot reads all pages of a
// snapshot, in parallel, ScanIncrement those of an increment; both prove them against the file
// checksum.
//
// Bytes are not trusted: anything odd is kCorruption, and memory is bounded by the file's size.
// Threading: LtxFile is immutable after Open; concurrent reads of file() are fine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backup/executor.h"
#include "backup/ltx_format.h"
#include "backup/page_codec.h"
#include "base/progress.h"
#include "store/object_store.h"

namespace understudy::backup {

struct LtxFrame {
  uint32_t page = 0;
  uint32_t bytes = 0;  // with its headers
  uint64_t offset = 0;
};

class LtxFile {
 public:
  // Takes over the reader; `name` is for messages.
  static base::Result<std::unique_ptr<LtxFile>> Open(std::unique_ptr<store::ObjectReader> file,
                                                     const std::string& name);

  const std::string& name() const { return name_; }
  store::ObjectReader& file() const { return *file_; }
  uint64_t bytes() const { return bytes_; }
  const LtxHeader& header() const { return header_; }
  // Ascending pages; each begins where the one before ends.
  const std::vector<LtxFrame>& frames() const { return frames_; }
  uint64_t file_checksum() const { return file_checksum_; }

  // Everything before the first frame and after the last one.
  base::ByteView head() const { return head_; }
  base::ByteView tail() const { return tail_; }

  // kCorruption unless it has every page of the database but the lock page.
  base::Status CheckSnapshot() const;
  // kCorruption unless it is the change of a database from one position to a later one.
  base::Status CheckIncrement() const;
  // kCorruption unless `frames_crc64`, over `frames_bytes` (headers and decompressed pages of all
  // frames in order), gives the file checksum together with head and tail.
  base::Status CheckFileChecksum(uint64_t frames_crc64, uint64_t frames_bytes) const;

 private:
  LtxFile(std::unique_ptr<store::ObjectReader> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)) {}
  base::Status ReadHead();
  base::Status ReadTail();
  base::Status ParseIndex(base::ByteView index, uint64_t end);

  const std::unique_ptr<store::ObjectReader> file_;
  const std::string name_;
  uint64_t bytes_ = 0;
  LtxHeader header_;
  base::Bytes head_;
  base::Bytes tail_;
  std::vector<LtxFrame> frames_;
  uint64_t file_checksum_ = 0;
};

// What reading all of a snapshot gave.
struct SnapshotSums {
  uint64_t database_checksum = 0;
  std::string xxh3_128;
};

struct ScanOptions {
  std::string phase = {};            // for progress
  base::ProgressSink progress = {};  // bytes of pages
  // Gets runs of pages, one call at a time, on any of the executor's threads, in any order. The
  // lock page comes as zeros.
  std::function<base::Status(base::PageNo first, base::ByteView images)> sink = {};
  // If not empty, one for each page of the database: gets the hashes of what was read.
  std::span<uint64_t> hashes = {};
};

// REQUIRES: file.CheckSnapshot() is ok. kCorruption when a page or the file checksum is wrong.
base::Result<SnapshotSums> ScanSnapshot(Executor& executor, const LtxFile& file,
                                        const ScanOptions& options);

// Reads all pages of an increment, in order, on the caller's thread: `hashes`, of the pages before
// it, become those after it. The result is the XXH3-128 of the file; kCorruption as above.
// REQUIRES: file.CheckIncrement() is ok, and somebody else than the file knows its header's commit,
// because so much memory is taken.
base::Result<std::string> ScanIncrement(const LtxFile& file, const ScanOptions& options,
                                        std::vector<uint64_t>& hashes);

// Reads exactly out.size() bytes; kCorruption when the file ends before.
base::Status ReadExactly(store::ObjectReader& file, uint64_t offset, std::span<uint8_t> out);

// Combines the sums of chunks that were decoded in any order.
class SumsOfChunks {
 public:
  explicit SumsOfChunks(size_t chunks) : sums_(chunks) {}
  void Set(size_t chunk, const ChunkSums& sums) { sums_[chunk] = sums; }
  ChunkSums Total() const;

 private:
  std::vector<ChunkSums> sums_;
};

}  // namespace understudy::backup
