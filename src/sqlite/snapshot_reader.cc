// SPDX-License-Identifier: Apache-2.0
#include "sqlite/snapshot_reader.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <vector>

namespace understudy::sqlite {

using base::Result;
using base::Status;

namespace {
constexpr auto kOpenBusyTimeout = std::chrono::seconds(5);
}  // namespace

SnapshotReader::SnapshotReader(std::unique_ptr<Connection> connection, WalIndex index, WalFile wal,
                               sqlite3_file* file)
    : connection_(std::move(connection)), index_(index), wal_(wal), file_(file) {}

SnapshotReader::~SnapshotReader() = default;  // closing the connection ends its transaction

Result<std::unique_ptr<SnapshotReader>> SnapshotReader::Open(const std::string& path,
                                                             const std::string& vfs) {
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Connection::Open(path, {.busy_timeout = kOpenBusyTimeout, .vfs = vfs}));
  ASSIGN_OR_RETURN(const WalIndex index, WalIndex::Map(*connection));
  ASSIGN_OR_RETURN(const WalFile wal, WalFile::Of(*connection));
  ASSIGN_OR_RETURN(sqlite3_file* const file, connection->file());
  std::unique_ptr<SnapshotReader> reader(
      new SnapshotReader(std::move(connection), index, wal, file));
  RETURN_IF_ERROR(reader->Establish().WithContext("snapshot of " + path));
  return reader;
}

Status SnapshotReader::Establish() {
  ASSIGN_OR_RETURN(const int64_t page_size, connection_->QueryInt("PRAGMA page_size"));
  page_size_ = static_cast<uint32_t>(page_size);
  ASSIGN_OR_RETURN(Statement look, connection_->Prepare("SELECT count(*) FROM sqlite_schema"));
  // SQLite does not tell which commit a transaction sees. If the header is the same before and
  // after it began, it is that one (its change counter never repeats).
  bool established = false;
  for (int attempt = 0; attempt < kSnapshotAttemptsMax && !established; ++attempt) {
    const std::optional<WalIndexHeader> before = index_.ReadHeader();
    RETURN_IF_ERROR(connection_->Execute("BEGIN"));
    RETURN_IF_ERROR(look.Run());
    const std::optional<WalIndexHeader> after = index_.ReadHeader();
    if (before && after && std::memcmp(&*before, &*after, sizeof *before) == 0) {
      header_ = *before;
      established = true;
    } else {
      RETURN_IF_ERROR(connection_->Execute("COMMIT"));
    }
  }
  if (!established)
    return base::Busy(fmt::format("commits kept coming during {} attempts", kSnapshotAttemptsMax));

  RETURN_IF_ERROR(index_.ForEachFrame(1, header_.mx_frame, [this](uint32_t frame, uint32_t page) {
    frame_of_page_[page] = frame;
  }));
  ASSIGN_OR_RETURN(const WalIndexHeader now, index_.AwaitHeader());
  if (now.wal_salts() != header_.wal_salts()) {  // rule 2 of the header
    use_wal_ = false;
    frame_of_page_.clear();
  }
  pages_ = header_.pages;
  if (pages_ == 0) {  // an empty WAL: the file has it all
    sqlite3_int64 size = 0;
    RETURN_IF_ERROR(ToStatus(file_->pMethods->xFileSize(file_, &size), nullptr, "file size"));
    pages_ = static_cast<uint32_t>((size + page_size_ - 1) / page_size_);
  }
  return Status();
}

std::vector<base::PageNo> SnapshotReader::PagesInWal() const {
  std::vector<base::PageNo> pages;
  for (const auto& [page, frame] : frame_of_page_) {
    if (page <= pages_) pages.emplace_back(page);
  }
  std::sort(pages.begin(), pages.end());
  return pages;
}

Status SnapshotReader::ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) {
  CHECK(first.value >= 1 && uint64_t{first.value} + count - 1 <= pages_);
  CHECK(out.size() == size_t{count} * page_size_);
  RETURN_IF_ERROR(ReadFromFile(first, count, out));
  if (!use_wal_ || frame_of_page_.empty()) return Status();
  ASSIGN_OR_RETURN(const bool valid, OverlayFrames(first, count, out));
  if (valid) return Status();
  use_wal_ = false;
  frame_of_page_.clear();
  return ReadFromFile(first, count, out);
}

Status SnapshotReader::ReadFromFile(base::PageNo first, uint32_t count, std::span<uint8_t> out) {
  uint32_t at = 0;
  while (at < count) {  // runs of pages that are not in the WAL
    uint32_t end = at;
    while (end < count && !frame_of_page_.contains(first.value + end)) ++end;
    if (end > at)
      RETURN_IF_ERROR(
          ReadDatabaseFile(file_, base::PageNo(first.value + at), page_size_,
                           out.subspan(size_t{at} * page_size_, size_t{end - at} * page_size_)));
    at = end + 1;
  }
  return Status();
}

Result<bool> SnapshotReader::OverlayFrames(base::PageNo first, uint32_t count,
                                           std::span<uint8_t> out) {
  bool any = false;
  bool complete = true;
  for (uint32_t i = 0; i < count && complete; ++i) {
    const auto found = frame_of_page_.find(first.value + i);
    if (found == frame_of_page_.end()) continue;
    any = true;
    ASSIGN_OR_RETURN(complete, wal_.ReadPage(found->second, page_size_,
                                             out.subspan(size_t{i} * page_size_, page_size_)));
  }
  if (!any) return true;
  ASSIGN_OR_RETURN(const WalIndexHeader now, index_.AwaitHeader());
  const bool same = now.wal_salts() == header_.wal_salts();
  if (!complete && same)
    return base::Corruption("the -wal file is shorter than its wal-index says");
  return same;
}

}  // namespace understudy::sqlite
