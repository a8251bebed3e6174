// SPDX-License-Identifier: Apache-2.0
// FullTransfer: writes all pages of a snapshot as an LTX file, syncs it piece by piece, and reads
// back and checks each piece once it is on disk, all at the same time on several workers.
//
// Jobs, and what allows them:
//   read + compress   a free slot; reading is one at a time and in order, compressing in parallel
//   write             the next chunk is compressed; one at a time; the last one also writes the
//   index sync              kSyncBytes or the end written since the last sync; one at a time; then
//   drops what
//                     was synced from the page cache
//   read back         the chunk lies wholly in whole blocks that were synced and dropped; reading
//   is one
//                     at a time and in order, decoding in parallel
//
// ENSURES after Run is ok: the file is synced, every byte of it was read back from disk, every page
// decoded and hashed, and its file checksum is that of what was compressed.
// Threading: as JobBoard. Memory: slots of about 2 MiB, 2 * workers + 1 of them, for each
// direction.
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
  FullTransfer(env::Env& env, SnapshotSource& source, const std::string& path,
               const base::ProgressSink& progress, int workers);

  // Makes the file.
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
  Job TakeSync() REQUIRES_LOCK(mutex_);
  Job TakeReadBack() REQUIRES_LOCK(mutex_);

  base::Status ReadAndCompress(const WriteSlotPtr& slot);
  base::Status Write(const WriteSlotPtr& slot);
  base::Status Sync(uint64_t up_to, bool last);
  base::Status ReadBack(const ReadSlotPtr& slot);
  base::Status Report(const char* phase, uint64_t bytes_done);

  base::PageNo FirstPage(size_t chunk) const;
  uint32_t PagesOf(size_t chunk) const;

  env::Env& env_;
  SnapshotSource& source_;
  const std::string path_;
  const base::ProgressSink& progress_;
  const uint32_t page_size_;
  const uint32_t pages_;
  const size_t chunks_;

  // Three handles of the same file, each used by one job at a time.
  std::unique_ptr<env::File> write_file_;
  std::unique_ptr<env::File> sync_file_;
  std::unique_ptr<env::File> read_file_;
  std::unique_ptr<LtxWriter> writer_;
  uint64_t kicked_ = 0;           // the writing job's: writeback was started up to here
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
  uint64_t synced_ GUARDED_BY(mutex_) = 0;
  bool all_written_ GUARDED_BY(mutex_) = false;
  bool all_synced_ GUARDED_BY(mutex_) = false;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool syncing_ GUARDED_BY(mutex_) = false;
  bool reading_back_ GUARDED_BY(mutex_) = false;
  bool reporting_ GUARDED_BY(mutex_) = false;
};

}  // namespace understudy::backup
