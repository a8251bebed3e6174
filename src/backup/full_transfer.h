// SPDX-License-Identifier: Apache-2.0
// FullTransfer: uploads all pages of a snapshot as an LTX file, piece by piece, and reads back and
// checks each piece once it is stored, all at the same time on several workers.
//
// Jobs, and what allows them:
//   read + compress   a free slot; reading is one at a time and in order, compressing in parallel
//   write             the next chunk is compressed; one at a time; the last one also writes the
//                     index
//   store             kSyncBytes or the end written since the last time; one at a time
//   read back         the store says that all of the chunk can be read from where it is stored;
//                     reading is one at a time and in order, decoding in parallel
//
// ENSURES after Run is ok: the file is stored, every byte of it was read back from there, every
// page decoded and hashed, and its file checksum is that of what was compressed. Threading: as
// JobBoard. Memory: slots of about 2 MiB, 2 * workers + 1 of them, for each direction.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backup/file_hash.h"
#include "backup/job_board.h"
#include "backup/ltx_reader.h"
#include "backup/ltx_writer.h"
#include "backup/snapshot_source.h"
#include "base/progress.h"

namespace understudy::backup {

class FullTransfer final : public JobBoard {
 public:
  // `name` is for messages; `upload` must outlive it, and is published by somebody else.
  FullTransfer(store::Upload& upload, SnapshotSource& source, const std::string& name,
               const base::ProgressSink& progress, int workers);

  base::Status Begin(const LtxHeader& header);
  // Run(executor), then:
  base::Status Finish();

  uint64_t bytes() const { return writer_->bytes(); }
  uint64_t file_checksum() const { return writer_->file_checksum(); }
  // Of what was read back.
  std::string xxh3_128() const { return read_hash_.Hex(); }
  uint64_t database_checksum() const { return sums_.Total().database_checksum; }
  std::vector<uint64_t> TakeHashes() { return std::move(hashes_); }  // of all pages

 private:
  struct WriteSlot {
    base::Bytes images;
    PageEncoder encoder;
    EncodedChunk chunk;
    size_t number = 0;
  };
  struct ReadSlot {
    base::Bytes raw;
    base::Bytes images;
    size_t number = 0;
  };
  // Shared only because a std::function is copyable.
  using WriteSlotPtr = std::shared_ptr<WriteSlot>;
  using ReadSlotPtr = std::shared_ptr<ReadSlot>;

  Job TakeJob() override REQUIRES_LOCK(mutex_);
  bool Done() const override REQUIRES_LOCK(mutex_);
  Job TakeStore() REQUIRES_LOCK(mutex_);
  Job TakeReadBack() REQUIRES_LOCK(mutex_);

  base::Status ReadAndCompress(const WriteSlotPtr& slot);
  base::Status Write(const WriteSlotPtr& slot);
  base::Status Store(uint64_t up_to, bool last);
  base::Status ReadBack(const ReadSlotPtr& slot);
  base::Status ReadChunk(size_t number, std::span<uint8_t> raw, uint64_t offset);
  base::Status Report(const char* phase, uint64_t bytes_done);

  base::PageNo FirstPage(size_t chunk) const;
  uint32_t PagesOf(size_t chunk) const;

  store::Upload& upload_;
  SnapshotSource& source_;
  const std::string name_;
  const base::ProgressSink& progress_;
  const uint32_t page_size_;
  const uint32_t pages_;
  const size_t chunks_;

  std::unique_ptr<store::ObjectReader> read_file_;  // the reading job's
  std::unique_ptr<LtxWriter> writer_;
  FileHash read_hash_;            // the reading job's
  SumsOfChunks sums_;             // each element is set by one job
  std::vector<uint64_t> hashes_;  // the same

  std::vector<WriteSlotPtr> free_writes_ GUARDED_BY(mutex_);
  std::vector<ReadSlotPtr> free_reads_ GUARDED_BY(mutex_);
  std::vector<WriteSlotPtr> compressed_ GUARDED_BY(mutex_);
  std::vector<LtxWriter::Place> places_ GUARDED_BY(mutex_);  // of the chunks written
  size_t next_read_ GUARDED_BY(mutex_) = 0;
  size_t next_back_ GUARDED_BY(mutex_) = 0;
  size_t checked_ GUARDED_BY(mutex_) = 0;
  uint64_t written_ GUARDED_BY(mutex_) = 0;
  uint64_t stored_ GUARDED_BY(mutex_) = 0;
  uint64_t readable_ GUARDED_BY(mutex_) = 0;
  bool all_written_ GUARDED_BY(mutex_) = false;
  bool all_stored_ GUARDED_BY(mutex_) = false;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool storing_ GUARDED_BY(mutex_) = false;
  bool reading_back_ GUARDED_BY(mutex_) = false;
  bool reporting_ GUARDED_BY(mutex_) = false;
};

}  // namespace understudy::backup
