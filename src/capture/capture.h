// SPDX-License-Identifier: Apache-2.0
// Capture: turns every commit of one active database into records of its log, from outside the
// applications that write it (docs/design/0001-capture-pins.md).
//
// It reads committed frames of the WAL under a pin (pin_keeper.h), checks them, and appends the
// newest image of each changed page to the log; the log is synced by sync_pacer.h. Invariants:
//   1. The page table is that of the log's end; the cursor is where the WAL stood then.
//   2. The WAL is never restarted before it was captured wholly. Where that could not be ensured
//      (capture was away, somebody removed the -shm), pages are compared and the differences are
//      logged as one healing record: nothing is skipped, nothing is seeded anew.
//   3. The first failure is sticky (RunOnce returns it again): the owner closes and opens anew.
//
// Memory: the scan window, the encoder's cache and 8 bytes a page. Descriptors while idle: those of
// one SQLite connection and of the watcher. Threading: confined to one thread, except Wake.
// Errors of Open: those of sqlite::CheckDatabase; kFenced when the log has a higher term.
// RunOnce: kNotFound or kDiverged when the file was deleted, moved or replaced.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capture/pin_keeper.h"
#include "capture/sync_pacer.h"
#include "capture/wal_scan.h"
#include "env/env.h"
#include "env/file_watcher.h"
#include "log/checkpoint_file.h"
#include "log/log_store.h"
#include "log/page_check.h"
#include "log/record_encoder.h"
#include "sqlite/connection.h"
#include "sqlite/database_check.h"
#include "sqlite/passive_wal.h"
#include "sqlite/pins.h"
#include "sqlite/snapshot_reader.h"
#include "sqlite/wal_file.h"
#include "sqlite/wal_index.h"

namespace understudy::capture {

// Batches appended by one RunOnce at most.
inline constexpr int kBatchesPerRun = 8;
inline constexpr std::string_view kHoldName = "capture";  // of the log that a restart needs
// How often a range of pages is read anew because a checkpoint wrote newer ones meanwhile; then the
// write lock is taken.
inline constexpr int kPageReadAttemptsMax = 10;
// Wrong pages that are remembered until TakeSuspects.
inline constexpr size_t kSuspectsMax = 64;
inline constexpr base::Duration kIdentityCheckInterval = std::chrono::seconds(2);
// The busy timeout of the short write transactions (snapshots, healing).
inline constexpr base::Duration kWriteLockWaitMax = std::chrono::seconds(5);

struct Options {
  std::string path;
  base::DatabaseId database;
  base::Term term;
  std::string checkpoint_path;
  bool set_wal_mode = false;       // convert a rollback-journal database
  bool record_per_commit = false;  // else a record may cover a run of commits
  // Above this the WAL is made to restart even if the application never leaves a gap; a file that
  // is longer is shortened when the database is idle.
  uint32_t wal_frames_max = 16'000;
  base::Duration sync_delay_max = std::chrono::milliseconds(50);
  // An idle WAL that nobody checkpoints is checkpointed after so long.
  base::Duration idle_checkpoint_after = std::chrono::seconds(10);
  uint64_t checkpoint_log_bytes = 64 << 20;  // the page table is saved after so much log
  int zstd_level = 1;
  size_t image_cache_bytes = 32 << 20;
  // The database is what the log ends with, and the caller keeps everybody from writing until Open
  // returns: a passive copy that is being mounted, whose WAL was written by replay. Its read-only
  // mark may still be on; hashes are of page 1 without it.
  bool at_log_end = false;
};

struct Counters {
  uint64_t commits = 0;
  uint64_t frames = 0;
  uint64_t records = 0;
  uint64_t log_bytes = 0;
  uint64_t syncs = 0;
  uint64_t wal_restarts = 0;
  uint64_t left_by_k = 0;
  uint64_t left_by_z = 0;
  uint64_t rotations_forced = 0;
  uint64_t rotations_failed = 0;
  uint64_t healing_records = 0;
  uint64_t healed_pages = 0;
  uint64_t idle_checkpoints = 0;
  base::Duration write_lock_held_max{};
  base::Duration sync_max{};
  std::string pin;
  uint64_t wal_bytes = 0;  // of committed frames in the WAL
  std::string last_error;  // empty: none
};

class Capture {
 public:
  // ENSURES: the log ends with a record of `options.term`, durable, and pin S is held.
  static base::Result<std::unique_ptr<Capture>> Open(env::Env& env, const Options& options,
                                                     log::LogStore& log);
  // Whether the WAL of the database at `path` (recovered, if it was not yet) goes on where `source`
  // says. False too when there is no WAL. Writes nothing else.
  static base::Result<bool> WalContinues(const std::string& path,
                                         const log::SourcePosition& source);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Captures a bounded amount of what is committed, syncs if that is due, and tends the pins.
  // True: there is more to do at once.
  base::Result<bool> RunOnce(base::SteadyTime now);
  // Returns when there is something for RunOnce, after Wake, or after `limit`.
  void WaitForChange(base::Duration limit);
  void Wake() { watcher_->Wake(); }  // thread-safe

  // Pages first.. (fewer, or none, where the database ends), exactly at a captured position, each
  // checked against the page table. The position need not be durable yet. kUnavailable when a page
  // is wrong: it must be repaired first.
  struct PageRun {
    uint32_t count = 0;
    log::LogEnd at;
  };
  base::Result<PageRun> ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out);

  // Reads pages again, as an application that comes now would see them, and compares them with the
  // page table. A page is wrong only if it is so with nobody writing: kBusy when the write lock is
  // not free.
  base::Result<log::PageCheck> CheckPages(base::PageNo first, uint32_t count);
  // The image of a page if it has this hash, for another copy; nothing when it has another here.
  base::Result<std::optional<base::Bytes>> ReadPageWithHash(base::PageNo page, uint64_t hash);
  // Puts the right image in the place of a wrong one, by a commit that changes nothing else.
  // Applications see the old page or the new one. `lock` holds the database's write lock.
  // kDiverged: the hash on record is another one (now).
  // ENSURES: the page survives a power cut, and reading it again gave the image.
  base::Status RepairPage(sqlite::PassiveWal& lock, base::PageNo page, base::ByteView image);
  // Takes pages as they are: what differs from the page table is logged. For a person who has
  // decided that. Returns how many did. (A recovery of the database may put back what the WAL still
  // has of them; that is found like any wrong page.)
  base::Result<uint32_t> AcceptPages(base::PageNo first, uint32_t count);
  // Pages that ReadPages has found to be wrong since the last call.
  std::vector<base::PageNo> TakeSuspects() { return std::exchange(suspects_, {}); }

  // A snapshot at an exact, durable position. Holds the application's write lock for an instant.
  struct Snapshot {
    std::unique_ptr<sqlite::SnapshotReader> reader;
    log::LogEnd at;
    std::vector<uint64_t> hashes;  // of each page, if asked for
  };
  base::Result<Snapshot> OpenSnapshot(bool with_hashes = false);

  // Captures and syncs everything committed so far, whatever the pacing.
  base::Status CatchUp();
  base::Status SaveCheckpoint();
  // Captures the rest, syncs, saves the page table. The pins go with the object.
  base::Status Close();

  log::LogStore& log() { return log_; }
  log::LogEnd captured() const { return log_.end(); }
  uint32_t page_size() const { return page_size_; }
  Counters counters() const;

 private:
  struct Sink;
  Capture(env::Env& env, const Options& options, log::LogStore& log);

  // capture_open.cc
  base::Status Start();
  base::Status OpenDatabase();
  base::Status TakeFirstPin();
  base::Result<bool> LoadTable();  // false: there is none that fits
  base::Result<bool> FindPlace(const log::SourcePosition& source);
  base::Status BuildTable();
  base::Status Mount(const log::SourcePosition& source);
  base::Status Heal(std::string_view reason);
  base::Status CompareAndLog(sqlite::SnapshotReader& snapshot);
  base::Result<std::unique_ptr<sqlite::SnapshotReader>> TakeSnapshot();
  void SetCursor(const sqlite::WalIndexHeader& header);

  // capture.cc
  base::Result<bool> Step(base::SteadyTime now);
  base::Result<bool> CaptureSome(int batches_max);
  base::Status CaptureAll();
  base::Result<bool> BeginRun(const sqlite::WalIndexHeader& header);
  base::Status AppendBatch(const WalBatch& batch);
  base::Status AddMissingPages(const WalBatch& batch, uint32_t pages_before);
  base::Status OnHalfWrittenHeader(base::SteadyTime now);
  base::Status SyncNow();
  base::Status SyncRun();
  base::Status CheckIdentity(base::SteadyTime now);
  log::RecordInfo NextRecord(uint16_t flags, uint64_t commits, uint32_t pages_after) const;
  log::SourcePosition Source() const;

  // capture_wal.cc
  base::Status TendWal(base::SteadyTime now);
  base::Status HoldOff(base::SteadyTime now);
  base::Result<bool> LeaveS(base::SteadyTime now);
  bool InRush(base::SteadyTime now) const;
  bool MustForce(base::SteadyTime now) const;
  base::SteadyTime NextTend() const;
  base::Status Rotate(base::SteadyTime now);
  base::Result<uint32_t> CheckpointOnce();
  base::Result<bool> RotateUnderWriteLock();
  base::Result<bool> CompleteAndLeaveS();
  void GiveBack();
  base::Status IdleCheckpoint(base::SteadyTime now);
  base::Status ShortenWal(base::SteadyTime now);
  base::Result<sqlite::Connection*> Writer();
  base::Result<sqlite::Connection*> Checkpointer();

  // capture_pages.cc
  base::Status ReadImages(base::PageNo first, uint32_t count, std::span<uint8_t> out);
  bool ImagesFit(base::PageNo first, uint32_t count, base::ByteView images) const;
  uint32_t CountFrom(base::PageNo first, uint32_t count) const;
  base::Result<bool> TakeWriteLock();
  base::Result<log::PageCheck> CompareNow(base::PageNo first, uint32_t count,
                                          std::span<uint8_t> out);

  env::Env& env_;
  const Options options_;
  log::LogStore& log_;
  std::unique_ptr<env::FileWatcher> watcher_;
  const std::string wal_path_;

  // The pins' connection does nothing else; it is destroyed after everything that looks through it.
  std::unique_ptr<sqlite::Connection> connection_;
  std::optional<sqlite::WalIndex> index_;
  std::optional<sqlite::WalFile> wal_;
  sqlite3_file* file_ = nullptr;
  std::unique_ptr<sqlite::Pins> pins_;
  std::unique_ptr<PinKeeper> keeper_;
  std::unique_ptr<WalScan> scan_;
  std::unique_ptr<sqlite::Connection> writer_;        // opened when needed, closed when idle
  std::unique_ptr<sqlite::Connection> checkpointer_;  // likewise

  uint32_t page_size_ = 0;
  log::PageTable table_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<log::RecordEncoder> encoder_;
  WalCursor cursor_;
  uint32_t wal_file_frames_ = 0;  // the file has room for so many at least
  bool may_restart_ = false;      // a new run of the WAL is no gap
  SyncPacer pacer_;
  // The log has a record of several commits (or a healing one) whose frames may not be on disk yet.
  bool run_unsynced_ = false;

  struct FileIdentity {
    std::string path;
    uint64_t device = 0;
    uint64_t inode = 0;
  };
  std::vector<FileIdentity> identities_;
  base::SteadyTime next_identity_check_{};

  std::vector<base::PageNo> suspects_;  // at most kSuspectsMax

  // What the last look at the wal-index saw; WaitForChange compares.
  uint32_t seen_change_ = 0;
  uint32_t seen_frame_ = 0;
  uint32_t seen_backfilled_ = 0;
  base::SteadyTime last_activity_{};
  bool given_back_ = false;  // what is only needed while something happens
  base::SteadyTime header_bad_since_{};
  base::SteadyTime next_rotation_{};
  base::Duration rotation_pause_{};
  base::SteadyTime last_forced_{};
  base::SteadyTime next_hold_off_{};
  base::SteadyTime next_idle_checkpoint_{};
  base::SteadyTime next_shorten_{};
  uint64_t checkpoint_at_log_bytes_ = 0;
  Counters counters_;
  base::Status failed_;
};

}  // namespace understudy::capture
