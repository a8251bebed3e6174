// SPDX-License-Identifier: Apache-2.0
// RecordEncoder: turns the pages of one record into parts (record.h), choosing the smallest
// encoding per page.
//
// Use: Begin, AddPage for every changed page (any order, each page once), Finish. Parts go to the
// sink as soon as they are full. The caller's PageTable is brought up to date as pages are added,
// and resized at Finish. A delta is made against the page's previous image when the cache or
// `read_base` has it *and* its hash is the one in the table; otherwise the entry is a full image.
//
// Memory: cache_bytes_max + one part, and nothing before the first use. Threading:
// thread-compatible.
#pragma once

#include <functional>
#include <memory>

#include "base/status.h"
#include "log/record.h"

namespace understudy::log {

// Takes finished parts, in order. An error ends the record: the caller drops it
// (LogStore::DropIncomplete).
class PartSink {
 public:
  virtual ~PartSink() = default;
  virtual base::Status OnPart(const PartHeader& header, base::ByteView part) = 0;
};

struct RecordInfo {
  uint16_t flags = 0;  // kRecordMount or kRecordHealing, or 0
  base::Term term{};
  base::Seq seq_first{};
  base::Seq seq_last{};
  base::WallTime commit_time{};
  uint32_t pages_after = 0;
  SourcePosition source{};
};

class RecordEncoder {
 public:
  struct Options {
    base::DatabaseId database{};
    uint32_t page_size = 0;
    int zstd_level = 1;
    size_t cache_bytes_max = 32 << 20;  // recent page images, least recently used go first
  };
  // Reads some image of a page for use as a base; false when it has none. May be stale: the hash
  // decides.
  using ReadBase = std::function<bool(base::PageNo page, std::span<uint8_t> out)>;

  RecordEncoder(const Options& options, ReadBase read_base);
  ~RecordEncoder();
  RecordEncoder(const RecordEncoder&) = delete;
  RecordEncoder& operator=(const RecordEncoder&) = delete;

  // `table` and `sink` are borrowed until Finish. REQUIRES: no record is open.
  void Begin(const RecordInfo& info, PageTable& table, PartSink& sink);
  // A page whose image did not change, or that lies after info.pages_after, makes no entry.
  base::Status AddPage(base::PageNo page, base::ByteView image);
  // Writes the last part. ENSURES: table.pages() == info.pages_after, table.checksum() == the
  // part's checksum_after.
  base::Status Finish();
  // Gives up the open record, if any. The table is no longer to be trusted: reload it.
  void Abandon();
  // Gives the cache, the buffers and the compressor back while a database is idle; they come back
  // with use. REQUIRES: no record is open.
  void ReleaseMemory();

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::log
