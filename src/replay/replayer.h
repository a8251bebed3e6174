// SPDX-License-Identifier: Apache-2.0
// Replayer: applies the durable log of a passive copy to its database, in order, restartable.
//
// The log is what is durable. The database is written through sqlite::PassiveWal, so ordinary
// readers see record boundaries only, and is synced by checkpoints only; where it stands after a
// crash is found out from the log's hashes (position_finder.h, docs/design/0002). Several small
// records become visible together (a *group*); the parts of a large one stream through bounded
// memory.
//
// Each record is checked before readers can see it (record.h): R1 to R4 as it arrives, R6 page by
// page, R5 at its end. The first record that does not fit stops replay for good: replayed() is then
// the record before it, failure() says what was found, and the copy must be resynchronised or
// seeded.
//
// States (all transitions in RunOnce): Replaying -> Failed, sticky. A suspended copy is one whose
// RunOnce nobody calls. After HandOver or PrepareMount nothing works any more
// but destruction.
//
// Threading: confined to one thread; `env` and `log` are borrowed and must outlive it. Memory: 12
// bytes a page (page table and undo) + PassiveWal's. Errors: kDiverged, kCorruption, kLogGap (seed
// or resync), kIoError and kNoSpace (open again once mended).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "log/checkpoint_file.h"
#include "log/log_store.h"
#include "log/page_check.h"
#include "sqlite/passive_wal.h"
#include "sqlite/snapshot_reader.h"

namespace understudy::replay {

inline constexpr std::string_view kHoldName = "replay";
// One RunOnce applies about this many bytes of page images.
inline constexpr uint64_t kRunBytesMax = 8 << 20;
// A group of records becomes visible at the latest when it has this many bytes of page images.
inline constexpr uint64_t kGroupBytesMax = 4 << 20;
// One CheckPages reads so many pages at most.
inline constexpr uint32_t kCheckPagesMax = 1024;

class Replayer {
 public:
  struct Options {
    std::string path;             // of the passive database
    std::string checkpoint_path;  // of the checkpoint file (log/checkpoint_file.h)
    base::DatabaseId database;
    std::string vfs = {};  // SQLite's; empty for the default one
    // Somebody other than a Replayer may have written the database since its checkpoint file was
    // saved (a former active): hash every page at Open.
    bool verify_all = false;
    // An active copy that catches up with its own log before it is mounted stays without the mark.
    bool set_read_only_mark = true;
    uint64_t run_bytes_max = kRunBytesMax;
    uint64_t group_bytes_max = kGroupBytesMax;
    // A PASSIVE checkpoint is made once the WAL has this many bytes …
    uint64_t wal_bytes_max = 32 << 20;
    // … and when nothing came for so long.
    base::Duration idle_checkpoint = std::chrono::seconds(2);
    // The checkpoint file is saved after this many bytes of page images (or 16 times its own size,
    // if that is more): what a restart has to look through.
    uint64_t checkpoint_file_interval_bytes = 256 << 20;
  };

  struct Counters {
    uint64_t records = 0;
    uint64_t groups = 0;           // commits of the passive's WAL
    uint64_t pages = 0;            // entries applied
    uint64_t page_bytes = 0;       // of those
    uint64_t log_bytes = 0;        // parts read
    uint64_t rewinds = 0;          // groups given up and begun anew
    uint64_t checkpoints = 0;      // complete ones
    uint64_t checkpoints_cut = 0;  // a reader kept some of the WAL
    uint64_t checkpoint_files = 0;
    uint64_t skipped_pages = 0;  // images that the file already had after a crash
  };

  struct RunResult {
    bool worked = false;  // something was done: call again at once
    // Otherwise call again at this time at the latest, and when the log grew.
    base::SteadyTime next = base::SteadyTime::max();
  };

  // Exactly the content at `at`.
  struct Snapshot {
    std::unique_ptr<sqlite::SnapshotReader> reader;
    log::LogEnd at;
    std::vector<uint64_t> hashes;  // of each page, if asked for
  };

  // Finds the database's position and sets the read-only mark (see Options). Sets the log's hold
  // kHoldName, which stays when the Replayer goes (the log is still needed) until HandOver or
  // PrepareMount.
  static base::Result<std::unique_ptr<Replayer>> Open(env::Env& env, const Options& options,
                                                      log::LogStore& log);
  ~Replayer();
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  // Records after `seq` stay in the log until another limit is set; what is replayed stays
  // replayed. A record that has commits beyond it counts as after it.
  void SetLimit(base::Seq seq) { limit_ = seq; }

  // Bounded: kRunBytesMax of pages, and perhaps a checkpoint of the WAL.
  base::Result<RunResult> RunOnce(base::SteadyTime now);

  // What readers of the database see.
  const log::LogEnd& replayed() const { return replayed_; }
  log::LogStore& log() { return log_; }
  const log::PageTable& table() const { return table_; }  // may be ahead by an unfinished group
  const base::Status& failure() const { return failed_; }
  const Counters& counters() const { return counters_; }
  uint64_t wal_bytes() const { return wal_ ? wal_->wal_bytes() : 0; }

  // kUnavailable while pages of different records are being mended after a crash.
  base::Result<Snapshot> OpenSnapshot(bool with_hashes = false);

  // --- replayer_pages.cc ---
  // Reads pages again, as a reader that comes now would see them, and compares them with the page
  // table. At most kCheckPagesMax. kUnavailable while pages are being mended after a crash.
  base::Result<log::PageCheck> CheckPages(base::PageNo first, uint32_t count);
  // Pages first .. (fewer, or none, where the database ends), exactly at `at`, each proved by the
  // page table. kBusy within a record: try again soon; kUnavailable while pages are being mended;
  // kCorruption when a page is wrong: it must be repaired first.
  struct PageRun {
    uint32_t count = 0;
    log::LogEnd at;
  };
  uint32_t page_size() const { return wal_->page_size(); }
  base::Result<PageRun> ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out);
  // The image of a page if it has this hash, for another copy; nothing when it has another here.
  base::Result<std::optional<base::Bytes>> ReadPageWithHash(base::PageNo page, uint64_t hash);
  // Puts the right image in the place of a wrong one. Readers see the old page or the new one.
  // kDiverged: the hash on record is another one (now); kBusy: within a record, try again soon.
  // ENSURES: the page survives a power cut, and reading it again gave the image.
  base::Status RepairPage(base::PageNo page, base::ByteView image);

  // Syncs what was replayed and saves the checkpoint file; copies as much of the WAL into the
  // database as readers allow. For a clean stop, and before the copy is taken over.
  base::Status Checkpoint();

  // For a copy that is to be mounted: the database as it is at replayed(), marked as it was and
  // with WRITE held, so that nobody writes before capture follows it. ENSURES: as PrepareMount, and
  // what was replayed survives a power cut.
  base::Result<std::unique_ptr<sqlite::PassiveWal>> HandOver();

  // Takes the read-only mark off, checkpoints, releases the database and the log's hold.
  // ENSURES: the checkpoint file describes the database at replayed().
  base::Status PrepareMount();

 private:
  Replayer(env::Env& env, const Options& options, log::LogStore& log);
  base::Status Start();
  base::Status Recover();
  base::Status ApplySome(RunResult& result);
  base::Result<bool> HasPart();
  base::Status ApplyPart(const log::LogReader::Item& item);
  base::Status CheckPart(const log::PartHeader& header) const;
  base::Status ApplyEntry(const log::PartHeader& header, const log::Entry& entry);
  base::Status Decode(const log::Entry& entry);
  base::Status CheckRecordEnd(const log::PartHeader& header);
  base::Status Publish();
  base::Status AbandonGroup();
  void UndoGroup(log::PageTable& table) const;  // of table_ or a copy: back to replayed_
  void SetHash(base::PageNo page, uint64_t hash);
  base::Status OnFailure(base::Status status);
  base::Status MaybeCheckpoint(base::SteadyTime now, RunResult& result);
  base::Status CheckpointWal();
  base::Status SaveCheckpointFile();
  const log::LogEnd& applied() const { return chain_.end(); }  // complete records only
  bool in_record() const { return chain_.open().has_value(); }
  bool mending() const { return replayed_.position.seq < mixed_until_; }

  env::Env& env_;
  const Options options_;
  log::LogStore& log_;
  std::unique_ptr<sqlite::PassiveWal> wal_;
  std::unique_ptr<log::LogReader> reader_;
  std::optional<log::LogReader::Item> part_;  // read and not applied: at the limit. reader_ has it
  base::Seq limit_{UINT64_MAX};
  log::EntryDecoder decoder_;
  base::Bytes image_;
  base::Bytes base_image_;
  base::Status failed_;
  Counters counters_;

  log::PageTable table_;    // after the last entry applied
  log::LogEnd replayed_;    // published
  log::RecordChain chain_;  // of what was applied: the group included, and parts of a record
  uint64_t group_bytes_ = 0;
  // What the group did to the table, for undoing it: previous hashes, oldest first.
  std::vector<base::PageNo> undo_pages_;
  std::vector<uint64_t> undo_hashes_;
  // Up to here groups have one record, so that a failure is found at the very record.
  base::Seq single_until_;
  // After a crash that left a mixture (position_finder.h).
  std::unordered_map<base::PageNo, base::Seq> versions_;
  base::Seq mixed_until_;

  base::Position saved_;  // of the checkpoint file
  uint64_t page_bytes_saved_ = 0;
  base::SteadyTime saved_time_;
  base::SteadyTime last_work_;
  base::SteadyTime next_idle_checkpoint_;
  uint64_t next_checkpoint_bytes_ = 0;
};

}  // namespace understudy::replay
