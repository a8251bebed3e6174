// SPDX-License-Identifier: Apache-2.0
// Looking at pages of a passive database again, and repairing them. Everything here goes through
// PassiveWal, whose newest images are what the page table describes, uncommitted ones included.
#include <fmt/format.h>

#include <algorithm>

#include "replay/replayer.h"

namespace understudy::replay {

using base::PageNo;
using base::Result;
using base::Status;

Result<log::PageCheck> Replayer::CheckPages(PageNo first, uint32_t count) {
  RETURN_IF_ERROR(failed_);
  if (mending()) return base::Unavailable(options_.path + " is being mended after a crash");
  CHECK(first.value >= 1);
  log::PageCheck check{.count = 0, .pages = table_.pages(), .at = replayed_};
  if (first.value > table_.pages()) return check;
  check.count = std::min({count, kCheckPagesMax, table_.pages() - first.value + 1});
  base::Bytes image(wal_->page_size());
  for (uint32_t i = 0; i < check.count; ++i) {
    const PageNo page(first.value + i);
    const Status read = wal_->ReadPage(page, image);
    if (read.ok()) {
      log::CompareWithTable(table_, page, image, image.size(), check.wrong);
    } else if (read.code() == base::Code::kIoError) {  // the disk cannot: of this page alone
      check.wrong.push_back({page, table_.HashOf(page), 0, read.message()});
    } else {
      return read;
    }
  }
  return check;
}

Result<Replayer::PageRun> Replayer::ReadPages(PageNo first, uint32_t count,
                                              std::span<uint8_t> out) {
  RETURN_IF_ERROR(failed_);
  if (mending()) return base::Unavailable(options_.path + " is being mended after a crash");
  if (in_record() || wal_->has_uncommitted()) {
    return base::Busy("a record is being applied to " + options_.path);
  }
  CHECK(first.value >= 1 && out.size() == size_t{count} * wal_->page_size());
  PageRun run{.count = 0, .at = replayed_};
  if (first.value > table_.pages()) return run;
  run.count = std::min(count, table_.pages() - first.value + 1);
  for (uint32_t i = 0; i < run.count; ++i) {
    const PageNo page(first.value + i);
    const auto image = out.subspan(size_t{i} * wal_->page_size(), wal_->page_size());
    RETURN_IF_ERROR(wal_->ReadPage(page, image));
    if (log::HashPage(page, image) == table_.HashOf(page)) continue;
    return base::Corruption(fmt::format("page {} of {} is not what the log at {} says", page.value,
                                        options_.path, base::ToString(replayed_.position)));
  }
  return run;
}

Result<std::optional<base::Bytes>> Replayer::ReadPageWithHash(PageNo page, uint64_t hash) {
  RETURN_IF_ERROR(failed_);
  if (page.value == 0 || page.value > table_.pages()) return std::optional<base::Bytes>();
  base::Bytes image(wal_->page_size());
  const Status read = wal_->ReadPage(page, image);
  if (!read.ok()) return read;
  if (log::HashPage(page, image) != hash) return std::optional<base::Bytes>();
  return std::optional(std::move(image));
}

Status Replayer::RepairPage(PageNo page, base::ByteView image) {
  RETURN_IF_ERROR(failed_);
  if (mending()) return base::Unavailable(options_.path + " is being mended after a crash");
  if (in_record() || wal_->has_uncommitted()) {
    return base::Busy("a record is being applied to " + options_.path);
  }
  if (image.size() != wal_->page_size() || log::HashPage(page, image) != table_.HashOf(page)) {
    return base::Diverged(fmt::format("page {} of {} is to have the hash {:016x} at {}", page.value,
                                      options_.path, table_.HashOf(page),
                                      base::ToString(replayed_.position)));
  }
  RETURN_IF_ERROR(wal_->AppendPage(page, image));
  RETURN_IF_ERROR(wal_->Commit(replayed_.pages));
  RETURN_IF_ERROR(wal_->SyncWal());
  ASSIGN_OR_RETURN(const log::PageCheck again, CheckPages(page, 1));
  if (again.wrong.empty()) return Status();
  return base::IoError(fmt::format("page {} of {} was written, but what is read back is not that",
                                   page.value, options_.path));
}

}  // namespace understudy::replay
