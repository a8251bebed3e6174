// SPDX-License-Identifier: Apache-2.0
#include "capture/wal_scan.h"

#include <fmt/format.h>

#include <algorithm>

namespace understudy::capture {

using base::Result;
using base::Status;
using PageFrame = WalBatch::PageFrame;

WalScan::WalScan(sqlite::WalFile wal, uint32_t page_size)
    : wal_(wal),
      page_size_(page_size),
      window_frames_(
          static_cast<uint32_t>(kScanWindowBytes / (sqlite::kWalFrameHeaderBytes + page_size))) {}

Status WalScan::Fill(uint32_t first, uint32_t count) {
  const size_t bytes = count * frame_bytes();
  if (window_.size() < bytes) window_.resize(bytes);
  window_count_ = 0;
  ASSIGN_OR_RETURN(const bool there,
                   wal_.ReadFrames(first, page_size_, std::span(window_).first(bytes)));
  if (!there)
    return base::Corruption(
        fmt::format("the -wal file ends before frame {}, which its wal-index has as committed",
                    first + count - 1));
  window_first_ = first;
  window_count_ = count;
  return Status();
}

Status WalScan::Next(const WalCursor& from, uint32_t limit, uint32_t pages_before, bool one_commit,
                     WalBatch& batch) {
  CHECK(from.frame < limit);
  batch = WalBatch{};
  uncommitted_.clear();
  WalCursor at = from;
  uint32_t size = pages_before;
  while (at.frame < limit) {
    RETURN_IF_ERROR(Fill(at.frame + 1, std::min(limit - at.frame, window_frames_)));
    ASSIGN_OR_RETURN(const bool ended, Take(at, size, one_commit, batch));
    if (ended || batch.commits > 0) break;
  }
  if (batch.commits == 0)
    return base::Corruption(
        fmt::format("frames {} to {} of the WAL hold no commit, though its wal-index says so",
                    from.frame + 1, limit));
  batch.frames = batch.end.frame - from.frame;
  // By page, the newest frame first; then only the newest stays.
  std::sort(batch.newest.begin(), batch.newest.end(), [](const PageFrame& a, const PageFrame& b) {
    return a.page != b.page ? a.page < b.page : a.frame > b.frame;
  });
  const auto end =
      std::unique(batch.newest.begin(), batch.newest.end(),
                  [](const PageFrame& a, const PageFrame& b) { return a.page == b.page; });
  batch.newest.erase(end, batch.newest.end());
  return Status();
}

Result<bool> WalScan::Take(WalCursor& at, uint32_t& size, bool one_commit, WalBatch& batch) {
  for (uint32_t i = 0; i < window_count_; ++i) {
    const base::ByteView bytes(window_.data() + i * frame_bytes(), frame_bytes());
    const sqlite::WalFrameHeader header = sqlite::ParseWalFrameHeader(bytes.data());
    at.sum = sqlite::AddFrame(at.sum, bytes, at.big_endian);
    if (header.salts != at.salts || header.checksum != at.sum || header.page.value == 0)
      return base::Corruption(
          fmt::format("frame {} of the WAL is committed but has wrong salts or a wrong checksum",
                      at.frame + 1));
    ++at.frame;
    uncommitted_.push_back({header.page.value, at.frame});
    if (header.pages_after == 0) continue;
    batch.newest.insert(batch.newest.end(), uncommitted_.begin(), uncommitted_.end());
    uncommitted_.clear();
    ++batch.commits;
    batch.pages_after = header.pages_after;
    batch.end = at;
    const bool smaller = header.pages_after < size;
    size = header.pages_after;
    if (smaller || one_commit) return true;
  }
  return false;
}

Result<base::ByteView> WalScan::Image(uint32_t frame) {
  if (frame >= window_first_ && frame < window_first_ + window_count_)
    return base::ByteView(window_).subspan(
        (frame - window_first_) * frame_bytes() + sqlite::kWalFrameHeaderBytes, page_size_);
  image_.resize(page_size_);
  ASSIGN_OR_RETURN(const bool there, wal_.ReadPage(frame, page_size_, image_));
  if (!there) return base::Corruption(fmt::format("the -wal file ends before its frame {}", frame));
  return base::ByteView(image_);
}

void WalScan::ReleaseMemory() {
  base::Bytes().swap(window_);
  window_count_ = 0;
  std::vector<PageFrame>().swap(uncommitted_);
}

}  // namespace understudy::capture
