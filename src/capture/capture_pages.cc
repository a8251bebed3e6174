// SPDX-License-Identifier: Apache-2.0
// Capture's reading of pages and its snapshots, both at exact captured positions.
#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "capture/capture.h"
#include "capture/capture_sink.h"

namespace understudy::capture {

using base::Result;
using base::Status;

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

Result<Capture::PageRun> Capture::ReadPages(base::PageNo first, uint32_t count,
                                            std::span<uint8_t> out) {
  RETURN_IF_ERROR(failed_);
  CHECK(first.value >= 1 && out.size() == size_t{count} * page_size_);
  const auto cut = [&] {
    return first.value > table_.pages() ? 0 : std::min(count, table_.pages() - first.value + 1);
  };
  for (int attempt = 0; attempt < kPageReadAttemptsMax; ++attempt) {
    RETURN_IF_ERROR(CaptureAll());
    const uint32_t here = cut();
    const std::span<uint8_t> part = out.first(size_t{here} * page_size_);
    RETURN_IF_ERROR(ReadImages(first, here, part));
    // Else a checkpoint wrote pages that are newer than what was captured: capture them first.
    if (ImagesFit(first, here, part)) return PageRun{here, log_.end()};
  }
  ASSIGN_OR_RETURN(sqlite::Connection* const writer, Writer());
  RETURN_IF_ERROR(writer->Execute("PRAGMA busy_timeout=5000"));
  RETURN_IF_ERROR(writer->Execute("BEGIN IMMEDIATE"));
  Status status = CaptureAll();
  const uint32_t here = cut();
  const std::span<uint8_t> part = out.first(size_t{here} * page_size_);
  if (status.ok()) status = ReadImages(first, here, part);
  if (status.ok() && !ImagesFit(first, here, part)) status = RepairPages(first, here, part);
  RETURN_IF_ERROR(writer->Execute("ROLLBACK"));
  RETURN_IF_ERROR(status);
  return PageRun{here, log_.end()};
}

// The database is what counts: where it is not what the log says with nobody writing (a page of the
// free list that was never in the WAL, or a page changed behind SQLite's back), the log follows it.
Status Capture::RepairPages(base::PageNo first, uint32_t count, base::ByteView images) {
  encoder_->Begin(NextRecord(log::kRecordHealing, 1, table_.pages()), table_, *sink_);
  for (uint32_t i = 0; i < count; ++i) {
    const base::PageNo page(first.value + i);
    const base::ByteView image = images.subspan(size_t{i} * page_size_, page_size_);
    if (log::HashPage(page, image) == table_.HashOf(page)) continue;
    base::Diag(base::DiagLevel::kWarning, "capture", "a page differs from the log, logging it anew",
               {{"database", options_.path}, {"page", page.value}});
    ++counters_.healed_pages;
    RETURN_IF_ERROR(encoder_->AddPage(page, image));
  }
  ++counters_.healing_records;
  ++counters_.records;
  pacer_.OnAppend(1, env_.Now());
  return encoder_->Finish();
}

Result<Capture::Snapshot> Capture::OpenSnapshot() {
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
  }
  RETURN_IF_ERROR(writer->Execute("ROLLBACK"));
  counters_.write_lock_held_max = std::max(counters_.write_lock_held_max, env_.Now() - began);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(SyncNow());
  return snapshot;
}

}  // namespace understudy::capture
