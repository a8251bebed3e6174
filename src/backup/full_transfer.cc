// SPDX-License-Identifier: Apache-2.0
#include "backup/full_transfer.h"

#include <fmt/format.h>

#include <algorithm>

namespace understudy::backup {
namespace {

// How much is written before it is stored (synced): little enough that the disk works while the
// processor compresses and little is left to read back at the end; enough that the file system's
// journal does not matter (bench/backup_bench).
constexpr uint64_t kSyncBytes = 16 << 20;

}  // namespace

FullTransfer::FullTransfer(store::Upload& upload, SnapshotSource& source, const std::string& name,
                           const base::ProgressSink& progress, int workers)
    : upload_(upload),
      source_(source),
      name_(name),
      progress_(progress),
      page_size_(source.page_size()),
      pages_(source.pages()),
      chunks_((pages_ + ChunkPages(page_size_) - 1) / ChunkPages(page_size_)),
      sums_(chunks_),
      hashes_(pages_) {
  for (int i = 0; i < 2 * workers + 1; ++i) {
    free_writes_.push_back(std::make_shared<WriteSlot>());
    free_reads_.push_back(std::make_shared<ReadSlot>());
  }
}

base::Status FullTransfer::Begin(const LtxHeader& header) {
  const auto append = [this](base::ByteView bytes) { return upload_.Append(bytes); };
  ASSIGN_OR_RETURN(writer_, LtxWriter::Begin(append, header));
  return base::Status();
}

base::PageNo FullTransfer::FirstPage(size_t chunk) const {
  return base::PageNo(static_cast<uint32_t>(chunk) * ChunkPages(page_size_) + 1);
}

uint32_t FullTransfer::PagesOf(size_t chunk) const {
  return std::min(ChunkPages(page_size_), pages_ - FirstPage(chunk).value + 1);
}

bool FullTransfer::Done() const { return all_stored_ && checked_ == chunks_; }

JobBoard::Job FullTransfer::TakeJob() {
  // What lets others go on comes first.
  if (!writing_) {
    const auto is_next = [number = places_.size()](const WriteSlotPtr& slot) {
      return slot->number == number;
    };
    const auto next = std::find_if(compressed_.begin(), compressed_.end(), is_next);
    if (next != compressed_.end()) {
      writing_ = true;
      WriteSlotPtr slot = std::move(*next);
      compressed_.erase(next);
      return [this, slot] { return Write(slot); };
    }
  }
  if (Job store = TakeStore()) return store;
  if (Job read_back = TakeReadBack()) return read_back;
  if (next_read_ < chunks_ && !reading_ && !free_writes_.empty()) {
    reading_ = true;
    WriteSlotPtr slot = std::move(free_writes_.back());
    free_writes_.pop_back();
    slot->number = next_read_++;
    return [this, slot] { return ReadAndCompress(slot); };
  }
  return {};
}

JobBoard::Job FullTransfer::TakeStore() {
  if (storing_ || all_stored_ || (written_ - stored_ < kSyncBytes && !all_written_)) return {};
  storing_ = true;
  return [this, up_to = written_, last = all_written_] { return Store(up_to, last); };
}

JobBoard::Job FullTransfer::TakeReadBack() {
  if (reading_back_ || next_back_ >= places_.size() || free_reads_.empty()) return {};
  if (places_[next_back_].end() > readable_) return {};
  reading_back_ = true;
  ReadSlotPtr slot = std::move(free_reads_.back());
  free_reads_.pop_back();
  slot->number = next_back_++;
  return [this, slot] { return ReadBack(slot); };
}

base::Status FullTransfer::ReadAndCompress(const WriteSlotPtr& slot) {
  const base::PageNo first = FirstPage(slot->number);
  const uint32_t pages = PagesOf(slot->number);
  const size_t bytes = static_cast<size_t>(pages) * page_size_;
  if (slot->images.size() < bytes) slot->images.resize(bytes);
  const std::span<uint8_t> images(slot->images.data(), bytes);
  base::Status status = source_.ReadPages(first, pages, images);
  {
    base::MutexLock lock(mutex_);
    reading_ = false;
  }
  Changed();
  if (!status.ok()) return status.WithContext(fmt::format("reading from page {}", first.value));

  slot->encoder.Encode(first, page_size_, images, slot->chunk);
  base::MutexLock lock(mutex_);
  compressed_.push_back(slot);
  return base::Status();
}

base::Status FullTransfer::Write(const WriteSlotPtr& slot) {
  RETURN_IF_ERROR(writer_->Append(slot->chunk));
  const bool last = slot->number + 1 == chunks_;
  if (last) RETURN_IF_ERROR(writer_->Finish());
  const uint64_t pages_done = FirstPage(slot->number).value - 1 + PagesOf(slot->number);
  {
    base::MutexLock lock(mutex_);
    places_.push_back(writer_->places().back());
    written_ = writer_->bytes();
    all_written_ = last;
    writing_ = false;
    free_writes_.push_back(slot);
  }
  Changed();
  return Report("backing up", pages_done * page_size_);
}

base::Status FullTransfer::Store(uint64_t up_to, bool last) {
  ASSIGN_OR_RETURN(const uint64_t readable, upload_.Store(up_to, last));
  base::MutexLock lock(mutex_);
  stored_ = up_to;
  readable_ = readable;
  all_stored_ = last;
  storing_ = false;
  return base::Status();
}

base::Status FullTransfer::ReadChunk(size_t number, std::span<uint8_t> raw, uint64_t offset) {
  if (read_file_ == nullptr) {
    ASSIGN_OR_RETURN(read_file_, upload_.OpenStored());
  }
  if (number == 0) {
    base::Bytes head(kLtxHeaderBytes);
    RETURN_IF_ERROR(ReadExactly(*read_file_, 0, head));
    read_hash_.Add(head);
  }
  RETURN_IF_ERROR(ReadExactly(*read_file_, offset, raw));
  read_hash_.Add(raw);
  return {};
}

base::Status FullTransfer::ReadBack(const ReadSlotPtr& slot) {
  LtxWriter::Place place;
  {
    base::MutexLock lock(mutex_);
    place = places_[slot->number];
  }
  if (slot->raw.size() < place.bytes) slot->raw.resize(place.bytes);
  const std::span<uint8_t> raw(slot->raw.data(), place.bytes);
  const base::Status status = ReadChunk(slot->number, raw, place.offset);
  {
    base::MutexLock lock(mutex_);
    reading_back_ = false;
  }
  Changed();
  RETURN_IF_ERROR(status.WithContext("reading back " + name_));

  const size_t bytes = static_cast<size_t>(PagesOf(slot->number)) * page_size_;
  if (slot->images.size() < bytes) slot->images.resize(bytes);
  const base::PageNo first = FirstPage(slot->number);
  auto sums = DecodeChunk(first, page_size_, raw, {slot->images.data(), bytes},
                          std::span(hashes_).subspan(first.value - 1, PagesOf(slot->number)));
  if (!sums.ok()) return sums.status().WithContext("reading back " + name_);
  sums_.Set(slot->number, *sums);
  uint64_t done = 0;
  bool all_written = false;
  {
    base::MutexLock lock(mutex_);
    done = ++checked_;
    all_written = all_written_;
    free_reads_.push_back(slot);
  }
  if (!all_written) return base::Status();  // progress is that of writing until then
  return Report("verifying",
                std::min<uint64_t>(done * ChunkPages(page_size_), pages_) * page_size_);
}

base::Status FullTransfer::Report(const char* phase, uint64_t bytes_done) {
  if (!progress_) return base::Status();
  {
    base::MutexLock lock(mutex_);
    if (reporting_) return base::Status();  // somebody tells it right now; the next one will
    reporting_ = true;
  }
  const bool go_on = progress_({phase, bytes_done, static_cast<uint64_t>(pages_) * page_size_});
  base::MutexLock lock(mutex_);
  reporting_ = false;
  return go_on ? base::Status() : base::Cancelled("the backup was cancelled");
}

base::Status FullTransfer::Finish() {
  ASSIGN_OR_RETURN(const auto file, LtxFile::Open(std::move(read_file_), name_));
  RETURN_IF_ERROR(file->CheckSnapshot());
  read_hash_.Add(file->tail());
  const ChunkSums total = sums_.Total();
  RETURN_IF_ERROR(file->CheckFileChecksum(total.crc64, total.crc64_bytes));
  if (file->file_checksum() != writer_->file_checksum() || file->bytes() != writer_->bytes()) {
    return base::Corruption(name_ + ": what was read back is not what was written");
  }
  return {};
}

}  // namespace understudy::backup
