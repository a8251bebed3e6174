// SPDX-License-Identifier: Apache-2.0
// Capture's reading of pages and its snapshots, both at exact captured positions.
#include <fmt/format.h>

#include <algorithm>

#include "base/thread.h"
#include "capture/capture.h"
#include "capture/capture_sink.h"

namespace understudy::capture {

using base::Result;
using base::Status;

namespace {
// How long the write lock is asked for in a row, to look at pages while nobody writes.
constexpr base::Duration kWriteTryFor = std::chrono::milliseconds(20);
}  // namespace

// Newest images as far as captured. Under S frames cannot go away; in the other states the captured
// run is wholly in the file, and nothing is written to it (rule 3).
Status Capture::ReadImages(base::PageNo first, uint32_t count, std::span<uint8_t> out) {
  RETURN_IF_ERROR(sqlite::ReadDatabaseFile(file_, first, page_size_, out));
  if (!pins_->has_s() || cursor_.frame == 0) return Status();
  ASSIGN_OR_RETURN(const sqlite::WalIndexHeader header, index_->AwaitHeader());
  if (header.wal_salts() != cursor_.salts || header.mx_frame < cursor_.frame) return Status();
  std::vector<uint32_t> frames(count, 0);
  RETURN_IF_ERROR(index_->ForEachFrame(1, cursor_.frame, [&](uint32_t frame, uint32_t page) {
    if (page >= first.value && page - first.value < count) frames[page - first.value] = frame;
  }));
  for (uint32_t i = 0; i < count; ++i) {
    if (frames[i] == 0) continue;
    ASSIGN_OR_RETURN(
        const bool there,
        wal_->ReadPage(frames[i], page_size_, out.subspan(size_t{i} * page_size_, page_size_)));
    if (!there) return base::Corruption(wal_path_ + " is shorter than its wal-index says");
  }
  return Status();
}

bool Capture::ImagesFit(base::PageNo first, uint32_t count, base::ByteView images) const {
  for (uint32_t i = 0; i < count; ++i) {
    const base::PageNo page(first.value + i);
    const base::ByteView image = images.subspan(size_t{i} * page_size_, page_size_);
    if (log::HashPage(page, image) != table_.HashOf(page)) return false;
  }
  return true;
}

uint32_t Capture::CountFrom(base::PageNo first, uint32_t count) const {
  return first.value > table_.pages() ? 0 : std::min(count, table_.pages() - first.value + 1);
}

Result<bool> Capture::TakeWriteLock() {
  bool locked = false;
  for (const base::SteadyTime end = env_.Now() + kWriteTryFor; !locked && env_.Now() < end;) {
    ASSIGN_OR_RETURN(locked, pins_->TryTakeWrite());
    if (!locked) base::Yield();
  }
  return locked;
}

Result<Capture::PageRun> Capture::ReadPages(base::PageNo first, uint32_t count,
                                            std::span<uint8_t> out) {
  RETURN_IF_ERROR(failed_);
  CHECK(first.value >= 1 && out.size() == size_t{count} * page_size_);
  for (int attempt = 0; attempt < kPageReadAttemptsMax; ++attempt) {
    RETURN_IF_ERROR(CaptureAll());
    const uint32_t here = CountFrom(first, count);
    const std::span<uint8_t> part = out.first(size_t{here} * page_size_);
    RETURN_IF_ERROR(ReadImages(first, here, part));
    // Else a checkpoint wrote pages that are newer than what was captured: capture them first.
    if (ImagesFit(first, here, part)) return PageRun{here, log_.end()};
  }
  ASSIGN_OR_RETURN(const log::PageCheck check, CompareNow(first, count, out));
  if (check.wrong.empty()) return PageRun{check.count, check.at};
  for (const log::WrongPage& wrong : check.wrong) {
    if (suspects_.size() < kSuspectsMax) suspects_.push_back(wrong.page);
  }
  const log::WrongPage& wrong = check.wrong.front();
  return base::Unavailable(fmt::format(
      "page {} of {} is damaged (its hash is {:016x}, {:016x} is on record), so it is given to "
      "nobody before it is repaired from another copy; understudy scrub tells of it",
      wrong.page.value, options_.path, wrong.found, wrong.expected));
}

// With nobody writing, so what differs is wrong.
Result<log::PageCheck> Capture::CompareNow(base::PageNo first, uint32_t count,
                                           std::span<uint8_t> out) {
  RETURN_IF_ERROR(CaptureAll());  // so that little is left under the write lock
  ASSIGN_OR_RETURN(const bool locked, TakeWriteLock());
  if (!locked) return base::Busy("an application is writing to " + options_.path);
  const base::SteadyTime began = env_.Now();
  const auto compare = [&]() -> Result<log::PageCheck> {
    RETURN_IF_ERROR(CaptureAll());
    const uint32_t here = CountFrom(first, count);
    log::PageCheck check{.count = here, .pages = table_.pages(), .at = log_.end()};
    const std::span<uint8_t> part = out.first(size_t{here} * page_size_);
    if (ReadImages(first, here, part).ok()) {
      log::CompareWithTable(table_, first, part, page_size_, check.wrong);
      return check;
    }
    for (uint32_t i = 0; i < here; ++i) {  // one of them the disk cannot read
      const base::PageNo page(first.value + i);
      const std::span<uint8_t> image = part.subspan(size_t{i} * page_size_, page_size_);
      const Status read = ReadImages(page, 1, image);
      if (read.ok()) {
        log::CompareWithTable(table_, page, image, page_size_, check.wrong);
      } else {
        check.wrong.push_back({page, table_.HashOf(page), 0, read.message()});
      }
    }
    return check;
  };
  const Result<log::PageCheck> check = compare();
  pins_->DropWrite();
  counters_.write_lock_held_max = std::max(counters_.write_lock_held_max, env_.Now() - began);
  return check;
}

Result<log::PageCheck> Capture::CheckPages(base::PageNo first, uint32_t count) {
  RETURN_IF_ERROR(failed_);
  CHECK(first.value >= 1);
  base::Bytes images;
  for (int attempt = 0; attempt < kPageReadAttemptsMax; ++attempt) {
    RETURN_IF_ERROR(CaptureAll());
    const uint32_t here = CountFrom(first, count);
    images.resize(size_t{here} * page_size_);
    if (!ReadImages(first, here, images).ok()) break;
    // Else a checkpoint wrote pages that are newer than what was captured, or something is wrong.
    if (ImagesFit(first, here, images)) {
      return log::PageCheck{.count = here, .pages = table_.pages(), .at = log_.end()};
    }
  }
  images.resize(size_t{count} * page_size_);
  return CompareNow(first, count, images);
}

Result<std::optional<base::Bytes>> Capture::ReadPageWithHash(base::PageNo page, uint64_t hash) {
  RETURN_IF_ERROR(failed_);
  RETURN_IF_ERROR(CaptureAll());
  if (page.value == 0 || CountFrom(page, 1) == 0) return std::optional<base::Bytes>();
  base::Bytes image(page_size_);
  RETURN_IF_ERROR(ReadImages(page, 1, image));
  if (log::HashPage(page, image) != hash) return std::optional<base::Bytes>();
  return std::optional(std::move(image));
}

// A frame of the WAL like any other: whole or not there after a crash, and the record that it makes
// has no entry, since the page table says already what it is.
Status Capture::RepairPage(sqlite::PassiveWal& lock, base::PageNo page, base::ByteView image) {
  RETURN_IF_ERROR(CatchUp());
  if (image.size() != page_size_ || CountFrom(page, 1) == 0 ||
      log::HashPage(page, image) != table_.HashOf(page)) {
    return base::Diverged(fmt::format("page {} of {} is to have the hash {:016x} at {}", page.value,
                                      options_.path, table_.HashOf(page),
                                      base::ToString(log_.end().position)));
  }
  RETURN_IF_ERROR(lock.AppendPage(page, image));
  RETURN_IF_ERROR(lock.Commit(table_.pages()));
  RETURN_IF_ERROR(lock.SyncWal());
  RETURN_IF_ERROR(CatchUp());
  base::Bytes again(page_size_);
  RETURN_IF_ERROR(ReadImages(page, 1, again));
  if (log::HashPage(page, again) == table_.HashOf(page)) return Status();
  return base::IoError(fmt::format("page {} of {} was written, but what is read back is not that",
                                   page.value, options_.path));
}

Result<uint32_t> Capture::AcceptPages(base::PageNo first, uint32_t count) {
  RETURN_IF_ERROR(failed_);
  ASSIGN_OR_RETURN(const bool locked, TakeWriteLock());
  if (!locked) return base::Busy("an application is writing to " + options_.path);
  const auto accept = [&]() -> Result<uint32_t> {
    RETURN_IF_ERROR(CaptureAll());
    const uint32_t here = CountFrom(first, count);
    base::Bytes images(size_t{here} * page_size_);
    RETURN_IF_ERROR(ReadImages(first, here, images));
    std::vector<log::WrongPage> wrong;
    log::CompareWithTable(table_, first, images, page_size_, wrong);
    if (wrong.empty()) return uint32_t{0};
    encoder_->Begin(NextRecord(log::kRecordHealing, 1, table_.pages()), table_, *sink_);
    for (const log::WrongPage& page : wrong) {
      const size_t at = size_t{page.page.value - first.value} * page_size_;
      RETURN_IF_ERROR(encoder_->AddPage(page.page, base::ByteView(images).subspan(at, page_size_)));
    }
    counters_.healed_pages += wrong.size();
    ++counters_.healing_records;
    ++counters_.records;
    pacer_.OnAppend(1, env_.Now());
    RETURN_IF_ERROR(encoder_->Finish());
    return static_cast<uint32_t>(wrong.size());
  };
  const Result<uint32_t> accepted = accept();
  pins_->DropWrite();
  RETURN_IF_ERROR(accepted.status());
  RETURN_IF_ERROR(SyncNow());
  return accepted;
}

Result<Capture::Snapshot> Capture::OpenSnapshot(bool with_hashes) {
  RETURN_IF_ERROR(failed_);
  RETURN_IF_ERROR(CaptureAll());  // so that little is left under the write lock
  ASSIGN_OR_RETURN(sqlite::Connection* const writer, Writer());
  RETURN_IF_ERROR(writer->Execute("PRAGMA busy_timeout=5000"));
  RETURN_IF_ERROR(writer->Execute("BEGIN IMMEDIATE"));
  const base::SteadyTime began = env_.Now();
  Status status = CaptureAll();
  Snapshot snapshot;
  if (status.ok()) {
    Result<std::unique_ptr<sqlite::SnapshotReader>> reader =
        sqlite::SnapshotReader::Open(options_.path);
    status = reader.status();
    if (reader.ok()) snapshot.reader = std::move(reader).value();
    snapshot.at = log_.end();
    if (with_hashes) snapshot.hashes = table_.hashes();
  }
  RETURN_IF_ERROR(writer->Execute("ROLLBACK"));
  counters_.write_lock_held_max = std::max(counters_.write_lock_held_max, env_.Now() - began);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(SyncNow());
  return snapshot;
}

}  // namespace understudy::capture
