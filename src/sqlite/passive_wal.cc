// SPDX-License-Identifier: Apache-2.0
#include "sqlite/passive_wal.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstring>

namespace understudy::sqlite {
namespace {

using base::PageNo;
using base::Result;
using base::Status;

// Page 1's write version (the SQLite file format, 1.3.3).
constexpr size_t kWriteVersionAt = 18;
constexpr uint8_t kWriteVersionWal = 2;
constexpr uint8_t kWriteVersionReadOnly = 3;
constexpr PageNo kFirstPage{1};

// How often Open lets SQLite recover a wal-index whose header was left half written.
constexpr int kRecoveryAttemptsMax = 10;

// SQLite's unix VFS cuts the length of one write to 17 bits.
constexpr size_t kWriteBytesMax = 0x1f000;

Status WriteTo(sqlite3_file* file, uint64_t offset, base::ByteView bytes, std::string_view what) {
  while (!bytes.empty()) {
    const base::ByteView piece = bytes.first(std::min(bytes.size(), kWriteBytesMax));
    const int code = file->pMethods->xWrite(file, piece.data(), static_cast<int>(piece.size()),
                                            static_cast<sqlite3_int64>(offset));
    RETURN_IF_ERROR(ToStatus(code, nullptr, what));
    bytes = bytes.subspan(piece.size());
    offset += piece.size();
  }
  return Status();
}

Status ReadFrom(sqlite3_file* file, uint64_t offset, std::span<uint8_t> out,
                std::string_view what) {
  const int code = file->pMethods->xRead(file, out.data(), static_cast<int>(out.size()),
                                         static_cast<sqlite3_int64>(offset));
  if (code == SQLITE_IOERR_SHORT_READ) return Status();  // the rest is zeros then
  return ToStatus(code, nullptr, what);
}

}  // namespace

Result<std::unique_ptr<PassiveWal>> PassiveWal::Open(env::Env& env, const Options& options) {
  std::unique_ptr<PassiveWal> wal(new PassiveWal(env, options));
  RETURN_IF_ERROR(wal->Start().WithContext("passive database " + options.path));
  return wal;
}

Status PassiveWal::Start() {
  const Connection::Options how{.busy_timeout = options_.busy_timeout, .vfs = options_.vfs};
  ASSIGN_OR_RETURN(holder_, Connection::Open(options_.path, how));
  ASSIGN_OR_RETURN(checkpointer_, Connection::Open(options_.path, how));
  // NORMAL and FULL checkpoint alike: WAL synced before its pages are copied, database after.
  RETURN_IF_ERROR(checkpointer_->Execute("PRAGMA synchronous=NORMAL"));
  ASSIGN_OR_RETURN(const std::string mode, holder_->QueryText("PRAGMA journal_mode"));
  if (mode != "wal") {
    return base::InvalidArgument(
        fmt::format("journal mode is {}, not wal; run PRAGMA journal_mode=WAL on it", mode));
  }
  ASSIGN_OR_RETURN(const int64_t page_size, holder_->QueryInt("PRAGMA page_size"));
  page_size_ = static_cast<uint32_t>(page_size);
  RETURN_IF_ERROR(TakeWriteLock());
  return LoadState();
}

Status PassiveWal::TakeWriteLock() {
  for (int attempt = 0; attempt < kRecoveryAttemptsMax; ++attempt) {
    // A read makes SQLite open -wal and -shm, and recover the index if its header is not valid.
    RETURN_IF_ERROR(holder_->QueryInt("SELECT count(*) FROM sqlite_schema").status());
    RETURN_IF_ERROR(checkpointer_->QueryInt("SELECT count(*) FROM sqlite_schema").status());
    ASSIGN_OR_RETURN(database_file_, holder_->file());
    RETURN_IF_ERROR(ToStatus(
        sqlite3_file_control(holder_->handle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal_file_),
        holder_->handle(), "file handle of the WAL"));
    if (wal_file_ == nullptr || wal_file_->pMethods == nullptr)
      return base::IoError("the WAL is not open");
    if (database_file_->pMethods->iVersion < 2)
      return base::InvalidArgument("this VFS has no shared memory, which WAL mode needs");
    index_ = std::make_unique<PassiveIndex>(database_file_);
    RETURN_IF_ERROR(index_->Lock(kLockWrite, 1).WithContext("another process writes to it"));
    has_write_lock_ = true;
    Result<WalIndexHeader> header = index_->ReadHeader();
    if (header.ok()) {
      header_ = *header;
      return Status();
    }
    index_->Unlock(kLockWrite, 1);
    has_write_lock_ = false;
    if (header.status().code() != base::Code::kBusy) return header.status();
  }
  return base::Corruption("SQLite could not recover its wal-index");
}

Status PassiveWal::LoadState() {
  if (header_.big_endian_checksum != 0)
    return base::InvalidArgument(
        "its WAL was written on a big-endian machine; checkpoint it there");
  last_frame_ = header_.mx_frame;
  sum_ = header_.frame_sum();
  wal_.page_size = page_size_;
  wal_.salts = header_.wal_salts();
  header_stored_ = header_.mx_frame != 0;
  base::Bytes start(kWalHeaderBytes);
  RETURN_IF_ERROR(ReadFrom(wal_file_, 0, start, "read the WAL header"));
  if (const auto stored = ParseWalHeader(start)) wal_.sequence = stored->sequence;
  if (header_.mx_frame != 0) {
    pages_ = header_.pages;
    // What a writer that died left after mx_frame.
    RETURN_IF_ERROR(index_->Forget(header_.mx_frame));
  } else {
    sqlite3_int64 bytes = 0;
    RETURN_IF_ERROR(ToStatus(database_file_->pMethods->xFileSize(database_file_, &bytes), nullptr,
                             "size of the database"));
    pages_ = static_cast<uint32_t>(bytes / page_size_);
    header_.set_page_size(page_size_);
    wal_.salts = {static_cast<uint32_t>(env_.Random()), static_cast<uint32_t>(env_.Random())};
  }
  base::Bytes page(page_size_);
  RETURN_IF_ERROR(ReadStored(kFirstPage, page));
  read_only_mark_ = page[kWriteVersionAt] == kWriteVersionReadOnly;
  return Status();
}

PassiveWal::~PassiveWal() {
  if (has_write_lock_) {
    if (failed_.ok()) Abandon().IgnoreError();  // the next writer cleans up just the same
    index_->Unlock(kLockWrite, 1);
  }
}

Status PassiveWal::Fail(Status status) {
  if (!status.ok() && failed_.ok()) failed_ = status.WithContext(options_.path);
  return status.ok() ? status : failed_;
}

// The image as it is stored (marked), pending ones aside.
Status PassiveWal::ReadStored(PageNo page, std::span<uint8_t> out) {
  ASSIGN_OR_RETURN(const uint32_t backfilled, index_->Backfilled());
  // Frames that were copied to the database file need no look-up.
  const uint32_t first = std::min(backfilled, header_.mx_frame) + 1;
  ASSIGN_OR_RETURN(const uint32_t frame, index_->Find(page, first, last_frame_));
  if (frame != 0) {
    const uint64_t at = WalFrameOffset(frame, page_size_) + kWalFrameHeaderBytes;
    return ReadFrom(wal_file_, at, out, fmt::format("read frame {} of the WAL", frame));
  }
  return ReadFrom(database_file_, uint64_t{page.value - 1} * page_size_, out,
                  fmt::format("read page {}", page.value));
}

Status PassiveWal::ReadPage(PageNo page, std::span<uint8_t> out) {
  RETURN_IF_ERROR(failed_);
  CHECK(out.size() == page_size_ && page.value != 0);
  const auto slot = pending_slots_.find(page);
  if (slot != pending_slots_.end()) {
    std::memcpy(out.data(), PendingImage(slot->second), page_size_);
  } else {
    RETURN_IF_ERROR(ReadStored(page, out));
  }
  if (page == kFirstPage && out[kWriteVersionAt] == kWriteVersionReadOnly)
    out[kWriteVersionAt] = kWriteVersionWal;
  return Status();
}

Result<std::vector<PageNo>> PassiveWal::PagesInWal() {
  RETURN_IF_ERROR(failed_);
  std::vector<PageNo> pages;
  for (uint32_t frame = 1; frame <= header_.mx_frame; ++frame) {
    ASSIGN_OR_RETURN(const PageNo page, index_->PageOf(frame));
    if (page.value <= pages_) pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  return pages;
}

Status PassiveWal::AppendPage(PageNo page, base::ByteView image) {
  RETURN_IF_ERROR(failed_);
  CHECK(image.size() == page_size_ && page.value != 0);
  if (!has_uncommitted()) RETURN_IF_ERROR(Fail(MaybeRestart()));
  auto slot = pending_slots_.find(page);
  if (slot == pending_slots_.end()) {
    if ((pending_.size() + 1) * frame_bytes() > kPendingBytesMax && !pending_.empty())
      RETURN_IF_ERROR(Fail(Flush(0)));
    slot = pending_slots_.emplace(page, pending_.size()).first;
    pending_.push_back(page);
    if (pending_bytes_.size() < pending_.size() * frame_bytes())
      pending_bytes_.resize(pending_.size() * frame_bytes());
  }
  uint8_t* const to = PendingImage(slot->second);
  std::memcpy(to, image.data(), page_size_);
  if (page == kFirstPage && read_only_mark_) to[kWriteVersionAt] = kWriteVersionReadOnly;
  return Status();
}

Status PassiveWal::Commit(uint32_t pages_after) {
  RETURN_IF_ERROR(failed_);
  CHECK(pages_after != 0);
  if (pending_.empty()) {
    // A commit needs a frame. AppendPage leaves one waiting always, so here nothing was appended.
    if (pages_after == pages_) return Status();
    base::Bytes page(page_size_);
    RETURN_IF_ERROR(ReadPage(kFirstPage, page));
    RETURN_IF_ERROR(AppendPage(kFirstPage, page));
  }
  RETURN_IF_ERROR(Fail(Flush(pages_after)));
  header_.mx_frame = last_frame_;
  header_.pages = pages_after;
  header_.set_page_size(page_size_);
  header_.big_endian_checksum = 0;
  header_.frame_checksum[0] = sum_.s0;
  header_.frame_checksum[1] = sum_.s1;
  base::StoreBe32(header_.salts, wal_.salts.salt1);
  base::StoreBe32(header_.salts + 4, wal_.salts.salt2);
  RETURN_IF_ERROR(Fail(index_->Publish(header_)));
  pages_ = pages_after;
  return Status();
}

Status PassiveWal::Abandon() {
  RETURN_IF_ERROR(failed_);
  pending_.clear();
  pending_slots_.clear();
  if (last_frame_ == header_.mx_frame) return Status();
  last_frame_ = header_.mx_frame;
  sum_ = header_.mx_frame == 0 ? wal_.checksum : header_.frame_sum();
  return Fail(index_->Forget(last_frame_));
}

Status PassiveWal::SetReadOnlyMark(bool marked) {
  RETURN_IF_ERROR(failed_);
  CHECK(!has_uncommitted());
  if (marked == read_only_mark_) return Status();
  base::Bytes page(page_size_);
  RETURN_IF_ERROR(ReadPage(kFirstPage, page));
  read_only_mark_ = marked;
  RETURN_IF_ERROR(AppendPage(kFirstPage, page));
  return Commit(pages_);
}

// Writes the frames that wait; the last one becomes a commit when commit_pages is not 0.
Status PassiveWal::Flush(uint32_t commit_pages) {
  CHECK(!pending_.empty());
  if (!header_stored_) RETURN_IF_ERROR(WriteWalHeader());
  if (uint64_t{last_frame_} + pending_.size() >= UINT32_MAX)
    return base::NoSpace("the WAL has no frame numbers left; end the readers that keep it");
  for (size_t slot = 0; slot < pending_.size(); ++slot) {
    uint8_t* const frame = pending_bytes_.data() + slot * frame_bytes();
    const uint32_t commit = slot + 1 == pending_.size() ? commit_pages : 0;
    sum_ = StoreWalFrameHeader(frame, pending_[slot], commit, wal_, sum_);
  }
  RETURN_IF_ERROR(WriteTo(wal_file_, WalFrameOffset(uint64_t{last_frame_} + 1, page_size_),
                          {pending_bytes_.data(), pending_.size() * frame_bytes()},
                          "append to the WAL"));
  for (const PageNo page : pending_) RETURN_IF_ERROR(index_->Append(++last_frame_, page));
  pending_.clear();
  pending_slots_.clear();
  return Status();
}

// A frame must never get to disk before the header that makes older frames invalid: else a power
// cut leaves old frames under an old header, and recovery puts old pages over a newer database.
Status PassiveWal::WriteWalHeader() {
  uint8_t bytes[kWalHeaderBytes];
  ++wal_.sequence;
  StoreWalHeader(bytes, wal_);
  RETURN_IF_ERROR(WriteTo(wal_file_, 0, bytes, "write the WAL header"));
  RETURN_IF_ERROR(ToStatus(wal_file_->pMethods->xSync(wal_file_, SQLITE_SYNC_NORMAL), nullptr,
                           "sync the WAL header"));
  sum_ = wal_.checksum;
  header_stored_ = true;
  return Status();
}

// Begins the WAL anew if nothing in it is needed any more (invariant 3); no harm if it is not.
Status PassiveWal::MaybeRestart() {
  if (header_.mx_frame == 0) return Status();
  ASSIGN_OR_RETURN(const uint32_t backfilled, index_->Backfilled());
  if (backfilled != header_.mx_frame) return Status();
  Status status = index_->Lock(kLockCheckpoint, 1);
  if (status.ok()) {
    status = index_->Lock(kLockRead0 + 1, kReadMarks - 1);
    if (status.ok()) {
      status = RestartLocked();
      index_->Unlock(kLockRead0 + 1, kReadMarks - 1);
    }
    index_->Unlock(kLockCheckpoint, 1);
  }
  return status.code() == base::Code::kBusy ? Status() : status;
}

Status PassiveWal::RestartLocked() {
  // Somebody else's checkpoint may have copied pages without syncing them.
  RETURN_IF_ERROR(SyncDatabase());
  const bool is_long =
      WalFrameOffset(uint64_t{header_.mx_frame} + 1, page_size_) > options_.wal_bytes_kept;
  wal_.salts = {wal_.salts.salt1 + 1, static_cast<uint32_t>(env_.Random())};
  header_.mx_frame = 0;
  base::StoreBe32(header_.salts, wal_.salts.salt1);
  base::StoreBe32(header_.salts + 4, wal_.salts.salt2);
  RETURN_IF_ERROR(index_->Publish(header_));
  RETURN_IF_ERROR(index_->ResetMarks());
  header_stored_ = false;
  last_frame_ = 0;
  synced_frame_ = 0;
  ++restarts_;
  if (is_long) {
    RETURN_IF_ERROR(
        ToStatus(wal_file_->pMethods->xTruncate(wal_file_, 0), nullptr, "shorten the WAL"));
  }
  return Status();
}

Status PassiveWal::SyncDatabase() {
  if (synced_frame_ == header_.mx_frame) return Status();
  RETURN_IF_ERROR(ToStatus(database_file_->pMethods->xSync(database_file_, SQLITE_SYNC_NORMAL),
                           nullptr, "sync the database"));
  synced_frame_ = header_.mx_frame;
  return Status();
}

Status PassiveWal::SyncWal() {
  RETURN_IF_ERROR(failed_);
  return Fail(
      ToStatus(wal_file_->pMethods->xSync(wal_file_, SQLITE_SYNC_NORMAL), nullptr, "sync the WAL"));
}

Result<PassiveWal::CheckpointResult> PassiveWal::Checkpoint() {
  RETURN_IF_ERROR(failed_);
  CHECK(!has_uncommitted());
  CheckpointResult result{.frames = header_.mx_frame};
  const auto done = checkpointer_->Checkpoint("PASSIVE");
  if (!done.ok() && done.status().code() != base::Code::kBusy) return Fail(done.status());
  ASSIGN_OR_RETURN(const uint32_t backfilled, index_->Backfilled());
  result.backfilled = std::min(backfilled, header_.mx_frame);
  result.complete = result.backfilled == header_.mx_frame;
  if (result.complete) RETURN_IF_ERROR(Fail(SyncDatabase()));
  return result;
}

}  // namespace understudy::sqlite
