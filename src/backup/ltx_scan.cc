// SPDX-License-Identifier: Apache-2.0
// ScanSnapshot: reads chunks in order, decodes them in parallel, gives them to the sink one at a
// time.
#include <algorithm>

#include "backup/file_hash.h"
#include "backup/job_board.h"
#include "backup/ltx_reader.h"

namespace understudy::backup {
namespace {

class SnapshotScan final : public JobBoard {
 public:
  SnapshotScan(const LtxFile& file, const ScanOptions& options, int workers)
      : file_(file),
        options_(options),
        page_size_(file.header().page_size),
        pages_(file.header().commit),
        chunks_((pages_ + ChunkPages(page_size_) - 1) / ChunkPages(page_size_)),
        sums_(chunks_) {
    // One for each worker, and some that wait for the sink.
    for (int i = 0; i < 2 * workers + 1; ++i) free_.push_back(std::make_shared<Slot>());
  }

  SnapshotSums sums() {
    return {.database_checksum = sums_.Total().database_checksum, .xxh3_128 = hash_.Hex()};
  }
  base::Status CheckFileChecksum() const {
    const ChunkSums total = sums_.Total();
    return file_.CheckFileChecksum(total.crc64, total.crc64_bytes);
  }

 private:
  struct Slot {
    size_t chunk = 0;
    base::PageNo first;
    base::Bytes raw;
    base::Bytes images;
    size_t image_bytes = 0;
  };
  using SlotPtr = std::shared_ptr<Slot>;  // shared only because a std::function is copyable

  bool Done() const override REQUIRES_LOCK(mutex_) { return delivered_ == chunks_; }

  Job TakeJob() override REQUIRES_LOCK(mutex_) {
    if (!decoded_.empty() && !delivering_) {
      delivering_ = true;
      SlotPtr slot = std::move(decoded_.back());
      decoded_.pop_back();
      return [this, slot] { return Deliver(slot); };
    }
    if (next_ < chunks_ && !reading_ && !free_.empty()) {
      reading_ = true;
      SlotPtr slot = std::move(free_.back());
      free_.pop_back();
      slot->chunk = next_++;
      return [this, slot] { return ReadAndDecode(slot); };
    }
    return {};
  }

  base::Status ReadAndDecode(const SlotPtr& slot) {
    const auto first_page = static_cast<uint32_t>(slot->chunk * ChunkPages(page_size_) + 1);
    const uint32_t pages = std::min(ChunkPages(page_size_), pages_ - first_page + 1);
    slot->first = base::PageNo(first_page);
    slot->image_bytes = static_cast<size_t>(pages) * page_size_;
    if (slot->images.size() < slot->image_bytes) slot->images.resize(slot->image_bytes);

    // Frames of these pages; there is no frame of the lock page.
    const uint32_t lock_page = LockPage(page_size_);
    const size_t begin = first_page - 1 - (first_page > lock_page ? 1 : 0);
    const size_t end =
        begin + pages - (lock_page >= first_page && lock_page < first_page + pages ? 1 : 0);
    base::Status status;
    size_t raw_bytes = 0;
    if (slot->chunk == 0) hash_.Add(file_.head());
    if (begin < end) {
      const LtxFrame& front = file_.frames()[begin];
      const LtxFrame& back = file_.frames()[end - 1];
      raw_bytes = back.offset + back.bytes - front.offset;
      if (slot->raw.size() < raw_bytes) slot->raw.resize(raw_bytes);
      const std::span<uint8_t> raw(slot->raw.data(), raw_bytes);
      status = ReadExactly(file_.file(), front.offset, raw).WithContext(file_.name());
      if (status.ok()) hash_.Add(raw);
    }
    if (slot->chunk + 1 == chunks_) hash_.Add(file_.tail());
    {
      base::MutexLock lock(mutex_);
      reading_ = false;
    }
    Changed();
    RETURN_IF_ERROR(status);

    auto sums =
        DecodeChunk(slot->first, page_size_, {slot->raw.data(), raw_bytes},
                    {slot->images.data(), slot->image_bytes},
                    options_.hashes.empty() ? std::span<uint64_t>()
                                            : options_.hashes.subspan(first_page - 1, pages));
    if (!sums.ok()) return sums.status().WithContext(file_.name());
    base::MutexLock lock(mutex_);
    sums_.Set(slot->chunk, *sums);
    decoded_.push_back(slot);
    return base::Status();
  }

  base::Status Deliver(const SlotPtr& slot) {
    if (options_.sink) {
      RETURN_IF_ERROR(options_.sink(slot->first, {slot->images.data(), slot->image_bytes}));
    }
    done_bytes_ += slot->image_bytes;
    if (options_.progress && !options_.progress({options_.phase, done_bytes_,
                                                 static_cast<uint64_t>(pages_) * page_size_})) {
      return base::Cancelled(options_.phase + " was cancelled");
    }
    base::MutexLock lock(mutex_);
    delivering_ = false;
    ++delivered_;
    free_.push_back(slot);
    return base::Status();
  }

  const LtxFile& file_;
  const ScanOptions& options_;
  const uint32_t page_size_;
  const uint32_t pages_;
  const size_t chunks_;

  // Used by the one job that reads, and by the one that delivers.
  FileHash hash_;
  uint64_t done_bytes_ = 0;

  std::vector<SlotPtr> free_ GUARDED_BY(mutex_);
  std::vector<SlotPtr> decoded_ GUARDED_BY(mutex_);
  SumsOfChunks sums_;
  size_t next_ GUARDED_BY(mutex_) = 0;
  size_t delivered_ GUARDED_BY(mutex_) = 0;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool delivering_ GUARDED_BY(mutex_) = false;
};

}  // namespace

base::Result<SnapshotSums> ScanSnapshot(Executor& executor, const LtxFile& file,
                                        const ScanOptions& options) {
  SnapshotScan scan(file, options, executor.workers());
  RETURN_IF_ERROR(scan.Run(executor));
  RETURN_IF_ERROR(scan.CheckFileChecksum());
  return scan.sums();
}

}  // namespace understudy::backup
