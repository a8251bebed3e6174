// SPDX-License-Identifier: Apache-2.0
// SnapshotReader: the pages of a live WAL database, exactly as of one commit, read in bulk.
//
// It owns a connection with a read transaction, which is what keeps the pages from changing:
//   1. On a read mark of the WAL, frames up to the snapshot stay in the WAL, and a checkpoint
//      writes no page to the database file that is newer than the snapshot.
//   2. On READ_LOCK(0) (the WAL was wholly in the database file) no checkpoint writes at all, but a
//      writer may restart the WAL. Then its salts change before the first frame is overwritten;
//      the salts are looked at after each read of frames, and from then on the file is used, which
//      has every page of the snapshot.
// A page comes from its newest frame up to the snapshot's last, else from the database file, both
// through SQLite's own handles (so no POSIX lock is lost).
//
// A snapshot open for long keeps the WAL from being restarted: it grows. Threading:
// thread-compatible; may be used and destroyed by another thread than the one that opened it.
// Errors: kBusy when commits kept coming while the snapshot was established (call it while no one
// can commit), kInvalidArgument when the database is not in WAL mode, others as of Connection.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "sqlite/connection.h"
#include "sqlite/wal_file.h"
#include "sqlite/wal_format.h"
#include "sqlite/wal_index.h"

namespace understudy::sqlite {

// How often establishing a snapshot is tried anew because somebody committed meanwhile.
inline constexpr int kSnapshotAttemptsMax = 1000;

class SnapshotReader {
 public:
  // `vfs` empty: the default one. The file is opened for reading and writing, which SQLite needs to
  // share the -shm; nothing is ever written.
  static base::Result<std::unique_ptr<SnapshotReader>> Open(const std::string& path,
                                                            const std::string& vfs = "");
  ~SnapshotReader();
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;

  uint32_t page_size() const { return page_size_; }
  uint32_t pages() const { return pages_; }
  // The wal-index header of the snapshot: salts, mx_frame and running checksum.
  const WalIndexHeader& header() const { return header_; }
  std::string path() const { return connection_->path(); }
  // The pages, ascending, whose newest content may not be in the database file. The content of all
  // others is in the file and stays there, whatever is checkpointed meanwhile.
  std::vector<base::PageNo> PagesInWal() const;

  // Pages first .. first + count - 1 into `out`.
  // REQUIRES: first >= 1, first + count - 1 <= pages(), out.size() == count * page_size().
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out);

 private:
  SnapshotReader(std::unique_ptr<Connection> connection, WalIndex index, WalFile wal,
                 sqlite3_file* file);
  base::Status Establish();
  base::Status ReadFromFile(base::PageNo first, uint32_t count, std::span<uint8_t> out);
  // False: the WAL was restarted meanwhile, what was read from it counts for nothing.
  base::Result<bool> OverlayFrames(base::PageNo first, uint32_t count, std::span<uint8_t> out);

  const std::unique_ptr<Connection> connection_;
  const WalIndex index_;
  const WalFile wal_;
  sqlite3_file* const file_;
  WalIndexHeader header_;
  uint32_t page_size_ = 0;
  uint32_t pages_ = 0;
  bool use_wal_ = true;
  std::unordered_map<uint32_t, uint32_t> frame_of_page_;
};

}  // namespace understudy::sqlite
