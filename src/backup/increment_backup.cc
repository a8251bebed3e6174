// SPDX-License-Identifier: Apache-2.0
#include "backup/increment_backup.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/ltx_reader.h"
#include "backup/ltx_writer.h"
#include "backup/page_hashes.h"
#include "backup/snapshot_scan.h"
#include "backup/stored_chain.h"

namespace understudy::backup {
namespace {

bool IsDamage(const base::Status& status) {
  return status.code() == base::Code::kCorruption || status.code() == base::Code::kInvalidArgument;
}

// How many of `pages`, from the i-th, are neighbours that fit into a chunk.
uint32_t RunLength(const std::vector<uint32_t>& pages, size_t i, uint32_t page_size) {
  uint32_t length = 1;
  while (i + length < pages.size() && pages[i + length] == pages[i] + length &&
         length < ChunkPages(page_size)) {
    ++length;
  }
  return length;
}

}  // namespace

base::Status IncrementBackup::Store() {
  no_base_ = FindBase();
  RETURN_IF_ERROR(no_base_);
  phase_ = Phase::kTransfer;
  RETURN_IF_ERROR(Compare());
  const BackupDocument& base = chain_.back();
  if (base.position.seq == at_.position.seq) return {};  // CheckHistory: it is the same state
  file_.min_txid = base.position.seq.value + 1;
  file_.max_txid = at_.position.seq.value;
  file_.level =
      document_.type == BackupType::kDifferential ? kLtxDifferentialLevel : kLtxIncrementalLevel;
  file_.path = LtxFilePath(document_.database_name, file_.level, file_.min_txid, file_.max_txid);
  ASSIGN_OR_RETURN(const std::vector<uint32_t> pages, PagesToStore());
  RETURN_IF_ERROR(TakeExisting(pages));
  if (reused_) return {};
  phase_ = Phase::kPrepareForBackup;
  RETURN_IF_ERROR(CheckSpace(static_cast<uint32_t>(pages.size()),
                             [&](uint32_t i) { return base::PageNo(pages[i]); }));
  phase_ = Phase::kTransfer;
  RETURN_IF_ERROR(Write(pages));
  return ReadBack();
}

base::Status IncrementBackup::FindBase() {
  ASSIGN_OR_RETURN(chain_, ChooseBase(list_, document_.type, document_));
  document_.base = chain_.back().id;
  const auto stored = StoredChain::Open(repository_, chain_, /*from_disk=*/false);
  base::Status status = stored.status();
  if (status.ok()) {
    auto hashes = PageHashesOf(executor_, repository_, list_, chain_.back());
    status = hashes.status();
    if (status.ok()) base_hashes_ = std::move(*hashes);
  }
  return status.WithContext(fmt::format("it would be based on backup {}", document_.base));
}

base::Status IncrementBackup::Compare() {
  hashes_ = source_.TakeHashes();
  if (hashes_.size() == document_.pages && MatchesDocument(hashes_, document_)) {
    const uint32_t lock_page = LockPage(document_.page_size);  // never stored, as in a scan
    if (lock_page <= hashes_.size()) hashes_[lock_page - 1] = 0;
    return {};
  }
  return ScanSnapshot(source_, "comparing", options_.progress, {}, &hashes_);
}

// Litestream chooses files by their numbers alone: it may apply this one to any stored state
// between its base and itself, so what differs from those is stored too.
base::Result<std::vector<uint32_t>> IncrementBackup::PagesToStore() {
  std::vector<bool> differs(hashes_.size());
  const auto compare = [&](const std::vector<uint64_t>& then) {
    for (size_t i = 0; i < hashes_.size(); ++i) {
      if (i >= then.size() || hashes_[i] != then[i]) differs[i] = true;
    }
  };
  compare(base_hashes_);
  const base::Seq from = chain_.back().position.seq;
  for (const BackupDocument& other : list_.backups) {
    if (other.position.seq <= from || other.position.seq >= at_.position.seq) continue;
    const auto then = PageHashesOf(executor_, repository_, list_, other);
    if (then.ok()) {
      compare(*then);
    } else if (!IsDamage(then.status())) {  // a damaged one cannot be restored by anybody
      return then.status();
    }
  }
  differs[0] = true;  // a file with no page is none
  std::vector<uint32_t> pages;
  for (uint32_t page = 1; page <= hashes_.size(); ++page) {
    if (differs[page - 1] && page != LockPage(document_.page_size)) pages.push_back(page);
  }
  return pages;
}

// Another differential backup with this base may have been taken at this position.
base::Status IncrementBackup::TakeExisting(const std::vector<uint32_t>& pages) {
  const std::string path = repository_.FilePath(file_);
  auto found = repository_.store().Open(file_.path);
  if (found.status().code() == base::Code::kNotFound) return {};
  ASSIGN_OR_RETURN(auto opened, std::move(found));
  ASSIGN_OR_RETURN(const uint64_t bytes, opened->Size());
  opened->DropFromCache(0, bytes);
  auto file = LtxFile::Open(std::move(opened), path);
  base::Status status = file.ok() ? file.value()->CheckIncrement() : file.status();
  std::vector<uint64_t> hashes = base_hashes_;
  if (status.ok() && file.value()->header() == Header()) {
    auto sum = ScanIncrement(
        *file.value(), {.phase = "verifying", .progress = options_.progress, .sink = {}}, hashes);
    status = sum.status();
    const auto less = [](const LtxFrame& frame, uint32_t page) { return frame.page < page; };
    const bool all = std::all_of(pages.begin(), pages.end(), [&](uint32_t page) {
      const auto& frames = file.value()->frames();
      const auto at = std::lower_bound(frames.begin(), frames.end(), page, less);
      return at != frames.end() && at->page == page;
    });
    if (status.ok() && all && MatchesDocument(hashes, document_)) {
      file_.bytes = bytes;
      file_.crc64 = file.value()->file_checksum();
      file_.xxh3_128 = *sum;
      file_.reused = true;
      reused_ = true;
      return {};
    }
  }
  if (!status.ok() && !IsDamage(status)) return status;
  return Replace(path);
}

base::Status IncrementBackup::Write(const std::vector<uint32_t>& pages) {
  const uint32_t page_size = document_.page_size;
  RETURN_IF_ERROR(BeginUpload());
  const auto append = [this](base::ByteView bytes) { return upload_->Append(bytes); };
  ASSIGN_OR_RETURN(const auto writer, LtxWriter::Begin(append, Header()));
  PageEncoder encoder;
  EncodedChunk chunk;
  base::Bytes images;
  for (size_t i = 0; i < pages.size();) {
    const uint32_t count = RunLength(pages, i, page_size);
    images.resize(size_t{count} * page_size);
    RETURN_IF_ERROR(source_.ReadPages(base::PageNo(pages[i]), count, images)
                        .WithContext(fmt::format("reading from page {}", pages[i])));
    RETURN_IF_ERROR(CheckImages(pages[i], images));
    encoder.Encode(base::PageNo(pages[i]), page_size, images, chunk);
    RETURN_IF_ERROR(writer->Append(chunk));
    i += count;
    if (options_.progress &&
        !options_.progress({.phase = "backing up",
                            .bytes_done = uint64_t{i} * page_size,
                            .bytes_total = uint64_t{pages.size()} * page_size})) {
      return base::Cancelled("the backup was cancelled");
    }
  }
  RETURN_IF_ERROR(writer->Finish());
  file_.bytes = writer->bytes();
  file_.crc64 = writer->file_checksum();
  return upload_->Store(file_.bytes, /*whole=*/true).status();
}

// Where the hashes are those of the log, nobody has yet looked at what the file has.
base::Status IncrementBackup::CheckImages(uint32_t first, base::ByteView images) const {
  const uint32_t page_size = document_.page_size;
  for (uint32_t i = 0; i < images.size() / page_size; ++i) {
    const base::PageNo page(first + i);
    const uint64_t hash = log::HashPage(page, images.subspan(size_t{i} * page_size, page_size));
    if (hash == hashes_[page.value - 1]) continue;
    return base::Corruption(fmt::format(
        "page {} of {} on {} has the hash {:016x}, on record at {} is {:016x}\nunderstudy scrub {} "
        "{} --wait repairs it from another copy",
        page.value, document_.database_name, document_.server, hash, base::ToString(at_.position),
        hashes_[page.value - 1], document_.database_name, document_.server));
  }
  return {};
}

base::Status IncrementBackup::ReadBack() {
  const std::string path = repository_.FilePath(file_);
  ASSIGN_OR_RETURN(auto opened, upload_->OpenStored());
  ASSIGN_OR_RETURN(const auto file, LtxFile::Open(std::move(opened), path));
  RETURN_IF_ERROR(file->CheckIncrement());
  std::vector<uint64_t> hashes = base_hashes_;
  ASSIGN_OR_RETURN(
      file_.xxh3_128,
      ScanIncrement(*file, {.phase = "verifying", .progress = options_.progress, .sink = {}},
                    hashes));
  if (file->bytes() != file_.bytes || file->file_checksum() != file_.crc64 ||
      !(file->header() == Header()) || hashes != hashes_) {
    return base::Corruption(path + ": what was read back is not what was written");
  }
  return {};
}

}  // namespace understudy::backup
