// SPDX-License-Identifier: Apache-2.0
// PassiveWal: appends committed pages to a passive database's own WAL and wal-index, beside
// ordinary SQLite readers, and keeps the read-only mark on page 1.
//
// It holds the database's WRITE lock from Open to destruction; SQLite itself checkpoints. Pages
// appended since the last Commit are *uncommitted*: no reader sees them. They wait in memory (a
// page appended again replaces the one that waits) and spill to the WAL, without a commit, once
// there are kPendingBytesMax of them.
//
// The mark: byte 18 of page 1 (write version) is 3 in what is stored, so that stock SQLite answers
// "attempt to write a readonly database"; ReadPage gives, and AppendPage takes, the un-marked page.
//
// Invariants:
//   1. Everything goes through file handles of SQLite's own connections (see connection.h).
//   2. Frames are never synced at a Commit, only by a checkpoint, before it copies them; after a
//      power cut SQLite's recovery finds the content of some Commit, never a mixture.
//   3. The WAL restarts only when the database file holds and has synced all of it, nobody reads
//      from it (READ 1 to 4 are free) and no checkpoint runs; the new WAL header is synced before a
//      frame overwrites an old one.
//   4. The first failure of a write, sync or lock is sticky: every later call returns it. Open anew
//      to go on; what was not committed is then gone.
//
// Threading: confined to the thread that replays. Memory: kPendingBytesMax and a frame. Errors:
// kBusy at Open when another process writes, kInvalidArgument for a database not in WAL mode,
// kIoError, kCorruption.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"
#include "env/env.h"
#include "sqlite/connection.h"
#include "sqlite/passive_index.h"
#include "sqlite/wal_format.h"

namespace understudy::sqlite {

class PassiveWal {
 public:
  static constexpr size_t kPendingBytesMax = 4 << 20;

  struct Options {
    std::string path;
    std::string vfs = {};            // empty: the default one
    base::Duration busy_timeout{0};  // for recovery by another process; WRITE is never waited for
    // A WAL file that became longer (a VACUUM) is cut off when it begins anew. Else it is
    // overwritten, which is faster than growing.
    uint64_t wal_bytes_kept = 256 << 20;
  };
  // ENSURES: recovery of the WAL is done, WRITE is held.
  static base::Result<std::unique_ptr<PassiveWal>> Open(env::Env& env, const Options& options);
  // Drops what is uncommitted and gives WRITE back. When nobody else has the database open, SQLite
  // checkpoints it and removes the WAL.
  ~PassiveWal();
  PassiveWal(const PassiveWal&) = delete;
  PassiveWal& operator=(const PassiveWal&) = delete;

  uint32_t page_size() const { return page_size_; }
  uint32_t pages() const { return pages_; }  // as of the last Commit

  // The newest image of a page, uncommitted ones included, un-marked, into page_size() bytes. Zeros
  // for a page that nobody wrote.
  base::Status ReadPage(base::PageNo page, std::span<uint8_t> out);

  // The pages of the database that have a committed frame in the WAL, sorted.
  base::Result<std::vector<base::PageNo>> PagesInWal();

  base::Status AppendPage(base::PageNo page, base::ByteView image);
  // ENSURES: readers that start now see everything appended, and a database of `pages_after` pages.
  base::Status Commit(uint32_t pages_after);
  // Drops everything appended since the last Commit.
  base::Status Abandon();
  bool has_uncommitted() const { return last_frame_ != header_.mx_frame || !pending_.empty(); }

  // The mark as it is stored. SetReadOnlyMark commits page 1 alone if that changes it.
  // REQUIRES: nothing is uncommitted.
  bool read_only_mark() const { return read_only_mark_; }
  base::Status SetReadOnlyMark(bool marked);

  // A PASSIVE checkpoint by SQLite. Complete: the database file holds everything committed, and is
  // synced; the WAL restarts at the next append if no reader needs it.
  // REQUIRES: nothing is uncommitted.
  struct CheckpointResult {
    bool complete = false;
    uint32_t frames = 0;
    uint32_t backfilled = 0;
  };
  base::Result<CheckpointResult> Checkpoint();

  // ENSURES: what was committed survives a power cut (the WAL is synced, nothing is copied).
  base::Status SyncWal();

  uint32_t wal_frames() const { return last_frame_; }  // uncommitted ones that spilled included
  uint64_t wal_bytes() const { return WalFrameOffset(uint64_t{last_frame_} + 1, page_size_); }
  base::Result<uint32_t> backfilled() { return index_->Backfilled(); }
  uint64_t restarts() const { return restarts_; }

 private:
  PassiveWal(env::Env& env, const Options& options) : env_(env), options_(options) {}
  base::Status Start();
  base::Status TakeWriteLock();
  base::Status LoadState();
  base::Status ReadStored(base::PageNo page, std::span<uint8_t> out);
  base::Status MaybeRestart();
  base::Status RestartLocked();
  base::Status WriteWalHeader();
  base::Status Flush(uint32_t commit_pages);
  base::Status SyncDatabase();
  base::Status Fail(base::Status status);  // makes it sticky
  size_t frame_bytes() const { return kWalFrameHeaderBytes + page_size_; }
  uint8_t* PendingImage(size_t slot) {
    return pending_bytes_.data() + slot * frame_bytes() + kWalFrameHeaderBytes;
  }

  env::Env& env_;
  const Options options_;
  // The connection that lends its file handles and does nothing else, and the one that checkpoints.
  std::unique_ptr<Connection> holder_;
  std::unique_ptr<Connection> checkpointer_;
  sqlite3_file* database_file_ = nullptr;
  sqlite3_file* wal_file_ = nullptr;
  std::unique_ptr<PassiveIndex> index_;
  bool has_write_lock_ = false;
  base::Status failed_;

  uint32_t page_size_ = 0;
  uint32_t pages_ = 0;
  bool read_only_mark_ = false;
  WalIndexHeader header_;       // as last published
  WalHeader wal_;               // salts and the checksum before frame 1, of the current run
  bool header_stored_ = false;  // the WAL file's header belongs to the current run
  uint32_t last_frame_ = 0;     // written to the WAL and entered into the index
  WalChecksum sum_;             // after last_frame_
  uint32_t synced_frame_ = 0;   // the database file is synced with everything up to here
  uint64_t restarts_ = 0;

  // Frames that wait, in order of first appearance: page numbers, and room for header and image.
  std::vector<base::PageNo> pending_;
  base::Bytes pending_bytes_;
  std::unordered_map<base::PageNo, size_t> pending_slots_;
};

}  // namespace understudy::sqlite
