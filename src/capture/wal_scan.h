// SPDX-License-Identifier: Apache-2.0
// WalScan: reads committed frames of a WAL from a cursor on, checks them, and says which frame has
// the newest image of each page.
//
// A batch is a run of whole commits. It ends at the last commit of the scan window, at a commit
// that makes the database smaller (pages that come back later must be looked at anew, see
// Capture::AddMissingPages), or after one commit if asked for. A commit larger than the window is a
// batch of its own: its frames are checked in a first pass that keeps 8 bytes a frame, and images
// are read again when asked for. So memory is the window, however large the commit.
//
// REQUIRES of all reads: the frames up to the limit cannot be overwritten (a pin is held).
// Errors: kCorruption when a frame up to mxFrame has wrong salts or a wrong checksum. Threading:
// thread-compatible.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"
#include "sqlite/wal_file.h"

namespace understudy::capture {

inline constexpr size_t kScanWindowBytes = 4 << 20;

// Everything up to and including `frame` of the WAL run with these salts was read.
struct WalCursor {
  sqlite::WalSalts salts;
  uint32_t frame = 0;
  sqlite::WalChecksum sum;  // running, after `frame`
  bool big_endian = false;
};

struct WalBatch {
  struct PageFrame {
    uint32_t page;
    uint32_t frame;
  };
  uint64_t commits = 0;
  uint32_t frames = 0;
  uint32_t pages_after = 0;
  WalCursor end;
  std::vector<PageFrame> newest;  // one per page, by page number
};

class WalScan {
 public:
  WalScan(sqlite::WalFile wal, uint32_t page_size);

  // The next batch after `from`, of frames up to `limit`, which is the mxFrame of a consistent
  // header (so the last commit ends there). `pages_before` is the database's size at `from`.
  // REQUIRES: from.frame < limit.
  base::Status Next(const WalCursor& from, uint32_t limit, uint32_t pages_before, bool one_commit,
                    WalBatch& batch);
  // The image of a frame of the last batch, or of any frame that cannot be overwritten. Valid until
  // the next call.
  base::Result<base::ByteView> Image(uint32_t frame);

  // Gives the window's memory back.
  void ReleaseMemory();

 private:
  base::Status Fill(uint32_t first, uint32_t count);
  // Checks the frames in the window; stops where the batch ends. True: it ended.
  base::Result<bool> Take(WalCursor& at, uint32_t& size, bool one_commit, WalBatch& batch);
  size_t frame_bytes() const { return sqlite::kWalFrameHeaderBytes + page_size_; }

  const sqlite::WalFile wal_;
  const uint32_t page_size_;
  const uint32_t window_frames_;
  base::Bytes window_;
  uint32_t window_first_ = 0;  // the frame at its start
  uint32_t window_count_ = 0;
  base::Bytes image_;
  std::vector<WalBatch::PageFrame> uncommitted_;
};

}  // namespace understudy::capture
