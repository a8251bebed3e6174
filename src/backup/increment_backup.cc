// SPDX-License-Identifier: Apache-2.0
#include "backup/increment_backup.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/describe.h"
#include "backup/increment_file.h"
#include "backup/ltx_reader.h"
#include "backup/page_difference.h"
#include "backup/page_hashes.h"
#include "backup/stored_chain.h"

namespace understudy::backup {
namespace {

bool IsDamage(const base::Status& status) {
  return status.code() == base::Code::kCorruption || status.code() == base::Code::kInvalidArgument;
}

}  // namespace

base::Status IncrementBackup::Store() {
  no_base_ = FindBase();
  RETURN_IF_ERROR(no_base_);
  phase_ = Phase::kTransfer;
  ASSIGN_OR_RETURN(hashes_, SnapshotHashes(source_, document_, options_.progress));
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
  RETURN_IF_ERROR(Predict(static_cast<uint32_t>(pages.size()),
                          [&](uint32_t i) { return base::PageNo(pages[i]); }));
  phase_ = Phase::kTransfer;
  return Upload(pages);
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

// Litestream chooses files by their numbers alone: it may apply this one to any stored state
// between its base and itself, so what differs from those is stored too.
base::Result<std::vector<uint32_t>> IncrementBackup::PagesToStore() {
  PageDifference difference(hashes_);
  difference.From(base_hashes_);
  const base::Seq from = chain_.back().position.seq;
  for (const BackupDocument& other : list_.backups) {
    if (other.position.seq <= from || other.position.seq >= at_.position.seq) continue;
    const auto then = PageHashesOf(executor_, repository_, list_, other);
    if (then.ok()) {
      difference.From(*then);
    } else if (!IsDamage(then.status())) {  // a damaged one cannot be restored by anybody
      return then.status();
    }
  }
  return difference.Pages(document_.page_size);
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
  if (status.ok() && file.value()->header() == HeaderOf(document_, file_)) {
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

base::Status IncrementBackup::Upload(const std::vector<uint32_t>& pages) {
  RETURN_IF_ERROR(BeginUpload());
  ASSIGN_OR_RETURN(const IncrementSums sums, StoreIncrement(*upload_, source_,
                                                            {.document = document_,
                                                             .header = HeaderOf(document_, file_),
                                                             .pages = pages,
                                                             .base_hashes = base_hashes_,
                                                             .hashes = hashes_,
                                                             .path = repository_.FilePath(file_),
                                                             .progress = options_.progress}));
  file_.bytes = sums.bytes;
  file_.crc64 = sums.crc64;
  file_.xxh3_128 = sums.xxh3_128;
  return {};
}

}  // namespace understudy::backup
