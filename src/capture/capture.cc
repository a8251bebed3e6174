// SPDX-License-Identifier: Apache-2.0
#include "capture/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/diag.h"
#include "capture/capture_sink.h"

namespace understudy::capture {

using base::Result;
using base::Status;

namespace {
// A wal-index header that stays half-written for so long was left by a dead writer.
constexpr base::Duration kHeaderPatience = std::chrono::milliseconds(100);
constexpr int kPassesMax = 4;
// After activity the wal-index is looked at often, then ever less often; then we wait for inotify.
constexpr base::Duration kNapMin = std::chrono::microseconds(30);
// In a rush every look costs the writer a cache miss, and more commits a record make less log.
constexpr base::Duration kNapInRush = std::chrono::milliseconds(1);
constexpr base::Duration kNapMax = std::chrono::milliseconds(1);
constexpr base::Duration kNapFor = std::chrono::milliseconds(3);
// While a checkpoint is writing pages we keep looking: its end is the time to let the WAL restart.
constexpr base::Duration kNapForCheckpoint = std::chrono::milliseconds(300);
}  // namespace

Capture::Capture(env::Env& env, const Options& options, log::LogStore& log)
    : env_(env),
      options_(options),
      log_(log),
      wal_path_(options.path + "-wal"),
      pacer_(options.sync_delay_max) {
  sink_ = std::make_unique<Sink>(log_, counters_.log_bytes);
}

Capture::~Capture() = default;

Result<bool> Capture::RunOnce(base::SteadyTime now) {
  RETURN_IF_ERROR(failed_);
  Result<bool> more = Step(now);
  if (more.ok() || more.status().code() == base::Code::kBusy) {
    if (more.ok()) return more;
    counters_.last_error = more.status().message();
    return false;
  }
  failed_ = more.status().WithContext("capture of " + options_.path);
  counters_.last_error = failed_.message();
  encoder_->Abandon();
  // What was appended wholly is good: make it durable if the log still can.
  SyncNow().IgnoreError();
  return failed_;
}

Result<bool> Capture::Step(base::SteadyTime now) {
  if (now >= next_identity_check_) RETURN_IF_ERROR(CheckIdentity(now));
  RETURN_IF_ERROR(keeper_->BeforeCapture(cursor_, InRush(now), now));
  ASSIGN_OR_RETURN(const bool progressed, CaptureSome(kBatchesPerRun));
  if (progressed) {
    last_activity_ = now;
    given_back_ = false;
  }
  if (pacer_.pending() && now >= pacer_.due()) RETURN_IF_ERROR(SyncNow());
  RETURN_IF_ERROR(TendWal(now));
  return progressed;
}

Result<bool> Capture::CaptureSome(int batches_max) {
  const base::SteadyTime now = env_.Now();
  const std::optional<sqlite::WalIndexHeader> header = index_->ReadHeader();
  if (!header) {
    RETURN_IF_ERROR(OnHalfWrittenHeader(now));
    return false;
  }
  header_bad_since_ = {};
  seen_change_ = header->change;
  seen_frame_ = header->mx_frame;
  if (header->mx_frame == 0) {
    may_restart_ = true;  // an empty WAL has nothing to lose
    return false;
  }
  if (header->wal_salts() != cursor_.salts || cursor_.frame == 0) {
    ASSIGN_OR_RETURN(const bool begun, BeginRun(*header));
    if (!begun) return false;
  } else if (header->mx_frame < cursor_.frame) {
    RETURN_IF_ERROR(Heal("the WAL has fewer committed frames than were captured"));
    return true;
  }
  bool progressed = false;
  for (int i = 0; i < batches_max && cursor_.frame < header->mx_frame; ++i) {
    WalBatch batch;
    RETURN_IF_ERROR(
        scan_->Next(cursor_, header->mx_frame, table_.pages(), options_.record_per_commit, batch));
    RETURN_IF_ERROR(AppendBatch(batch));
    may_restart_ = false;
    progressed = true;
  }
  return progressed;
}

Status Capture::CaptureAll() {
  // One pass takes everything that is committed when it begins; a new run or a healing record needs
  // one more.
  for (int pass = 0; pass < kPassesMax; ++pass) {
    const base::SteadyTime now = env_.Now();
    RETURN_IF_ERROR(keeper_->BeforeCapture(cursor_, InRush(now), now));
    ASSIGN_OR_RETURN(const bool progressed, CaptureSome(std::numeric_limits<int>::max()));
    if (!progressed) break;
  }
  return Status();
}

Result<bool> Capture::BeginRun(const sqlite::WalIndexHeader& header) {
  ASSIGN_OR_RETURN(const std::optional<sqlite::WalHeader> wal, wal_->ReadHeader());
  // The frames of the header that we read are there, so this one must be too, unless it was
  // replaced since; then the next look finds another header.
  if (!wal || wal->salts != header.wal_salts()) {
    const std::optional<sqlite::WalIndexHeader> again = index_->ReadHeader();
    if (again && again->wal_salts() == header.wal_salts() && again->mx_frame >= header.mx_frame)
      return base::Corruption("the header of " + wal_path_ + " does not fit its wal-index");
    return false;
  }
  if (wal->salts != cursor_.salts && !may_restart_) {
    RETURN_IF_ERROR(Heal("the WAL was restarted though a pin was held"));
    return false;
  }
  if (wal->salts != cursor_.salts) ++counters_.wal_restarts;
  if (wal->page_size != page_size_)
    return base::InvalidArgument(
        fmt::format("the page size of {} changed from {} to {}: remove the database from the group "
                    "and add it again",
                    options_.path, page_size_, wal->page_size));
  cursor_ = {.salts = wal->salts, .sum = wal->checksum, .big_endian = wal->big_endian};
  return true;
}

Status Capture::OnHalfWrittenHeader(base::SteadyTime now) {
  if (header_bad_since_ == base::SteadyTime{}) header_bad_since_ = now;
  if (now - header_bad_since_ < kHeaderPatience) return Status();
  // Rule 7: BeforeCapture has taken S and given CKPT free, so any reader's recovery can go on; make
  // one.
  header_bad_since_ = now;
  keeper_->LetOthersCheckpoint();
  ASSIGN_OR_RETURN(sqlite::Connection* const writer, Writer());
  return writer->QueryInt("SELECT count(*) FROM sqlite_schema").status();
}

log::SourcePosition Capture::Source() const {
  return {.salt1 = cursor_.salts.salt1,
          .salt2 = cursor_.salts.salt2,
          .frame = cursor_.frame,
          .checksum1 = cursor_.sum.s0,
          .checksum2 = cursor_.sum.s1};
}

log::RecordInfo Capture::NextRecord(uint16_t flags, uint64_t commits, uint32_t pages_after) const {
  const base::Seq last = log_.end().position.seq;
  return {.flags = flags,
          .term = options_.term,
          .seq_first = base::Seq(last.value + 1),
          .seq_last = base::Seq(last.value + commits),
          .commit_time = env_.WallNow(),
          .pages_after = pages_after,
          .source = Source()};
}

Status Capture::AppendBatch(const WalBatch& batch) {
  const uint32_t pages_before = table_.pages();
  cursor_ = batch.end;
  wal_file_frames_ = std::max(wal_file_frames_, cursor_.frame);
  run_unsynced_ = run_unsynced_ || batch.commits > 1;
  const base::Generation generation = log_.end().generation;
  encoder_->Begin(NextRecord(0, batch.commits, batch.pages_after), table_, *sink_);
  for (const WalBatch::PageFrame& page : batch.newest) {
    if (page.page > batch.pages_after) continue;  // cut off again by a later commit
    ASSIGN_OR_RETURN(const base::ByteView image, scan_->Image(page.frame));
    RETURN_IF_ERROR(encoder_->AddPage(base::PageNo(page.page), image));
  }
  if (batch.pages_after > pages_before) RETURN_IF_ERROR(AddMissingPages(batch, pages_before));
  RETURN_IF_ERROR(encoder_->Finish());
  counters_.commits += batch.commits;
  counters_.frames += batch.frames;
  ++counters_.records;
  pacer_.OnAppend(batch.commits, env_.Now());
  // A new generation made the ones before it durable.
  return log_.end().generation == generation ? Status() : SyncRun();
}

// Pages by which the database grew need not be in the WAL (SQLite does not write the leaves of its
// free list). They are what a checkpoint leaves in the file: an older frame that is not backfilled
// yet, else what the file holds.
Status Capture::AddMissingPages(const WalBatch& batch, uint32_t pages_before) {
  std::vector<uint32_t> missing;
  auto next =
      std::lower_bound(batch.newest.begin(), batch.newest.end(), pages_before + 1,
                       [](const WalBatch::PageFrame& a, uint32_t page) { return a.page < page; });
  for (uint32_t page = pages_before + 1; page <= batch.pages_after; ++page) {
    if (next != batch.newest.end() && next->page == page) {
      ++next;
    } else {
      missing.push_back(page);
    }
  }
  if (missing.empty()) return Status();

  std::vector<uint32_t> frames(missing.size(), 0);
  const uint32_t backfilled = index_->backfilled();
  RETURN_IF_ERROR(
      index_->ForEachFrame(backfilled + 1, cursor_.frame, [&](uint32_t frame, uint32_t page) {
        const auto at = std::lower_bound(missing.begin(), missing.end(), page);
        if (at != missing.end() && *at == page)
          frames[static_cast<size_t>(at - missing.begin())] = frame;
      }));
  base::Bytes image(page_size_);
  for (size_t i = 0; i < missing.size(); ++i) {
    const base::PageNo page(missing[i]);
    if (frames[i] != 0) {
      ASSIGN_OR_RETURN(const base::ByteView old, scan_->Image(frames[i]));
      RETURN_IF_ERROR(encoder_->AddPage(page, old));
      continue;
    }
    RETURN_IF_ERROR(sqlite::ReadDatabaseFile(file_, page, page_size_, image));
    RETURN_IF_ERROR(encoder_->AddPage(page, image));
  }
  return Status();
}

// States inside a run of commits are in no record, so a power cut must not take the database back
// into one that the log has: replay could not bring it forward again (docs/design/0004).
Status Capture::SyncRun() {
  if (!run_unsynced_) return Status();
  RETURN_IF_ERROR(wal_->Sync());
  run_unsynced_ = false;
  return Status();
}

Status Capture::SyncNow() {
  if (!pacer_.pending()) return Status();
  const base::SteadyTime began = env_.Now();
  RETURN_IF_ERROR(SyncRun());
  RETURN_IF_ERROR(log_.Sync());
  const base::SteadyTime ended = env_.Now();
  pacer_.OnSync(began, ended);
  ++counters_.syncs;
  counters_.sync_max = std::max(counters_.sync_max, ended - began);
  return Status();
}

Status Capture::CatchUp() {
  RETURN_IF_ERROR(failed_);
  RETURN_IF_ERROR(CaptureAll());
  return SyncNow();
}

Status Capture::CheckIdentity(base::SteadyTime now) {
  next_identity_check_ = now + kIdentityCheckInterval;
  for (const FileIdentity& known : identities_) {
    const Result<env::FileStat> about = env_.Stat(known.path);
    if (!about.ok() && about.status().code() != base::Code::kNotFound) return about.status();
    const std::string position = base::ToString(log_.end().position);
    if (!about.ok())
      return base::NotFound(
          fmt::format("{} was deleted or moved while it was followed; everything up to {} is in "
                      "the log: put the file back and mount the database, or activate another copy",
                      known.path, position));
    if (about->device != known.device || about->inode != known.inode)
      return base::Diverged(
          fmt::format("{} was replaced by another file while it was followed; everything up to {} "
                      "is in the log: mount the database to go on with the new file (the "
                      "differences are logged), or activate another copy",
                      known.path, position));
  }
  return Status();
}

void Capture::WaitForChange(base::Duration limit) {
  if (!failed_.ok()) {
    watcher_->Wait(limit);
    return;
  }
  const base::SteadyTime deadline = env_.Now() + limit;
  const auto changed = [this] {
    return index_->change_hint() != seen_change_ || index_->mx_frame_hint() != seen_frame_ ||
           index_->backfilled() != seen_backfilled_;
  };
  if (pacer_.rush() && pacer_.pending()) {
    const base::Duration left = std::min(deadline, pacer_.due()) - env_.Now();
    if (watcher_->Wait(std::min(kNapInRush, left)) == env::FileWatcher::Event::kWoken) return;
  }
  for (;;) {  // ends at the deadline at the latest
    if (changed()) return;
    const base::SteadyTime now = env_.Now();
    base::SteadyTime until = pacer_.pending() ? std::min(deadline, pacer_.due()) : deadline;
    until = std::min(until, NextTend());
    if (now >= until) return;
    const base::Duration quiet = now - last_activity_;
    const bool checkpointing =
        index_->backfill_attempted() > index_->backfilled() || keeper_->unsettled();
    if (quiet < (checkpointing ? kNapForCheckpoint : kNapFor)) {
      const base::Duration nap = std::clamp<base::Duration>(quiet / 4, kNapMin, kNapMax);
      if (watcher_->Wait(std::min(nap, until - now)) == env::FileWatcher::Event::kWoken) return;
      continue;
    }
    if (!watcher_->Arm(wal_path_).ok()) {  // deleted: CheckIdentity says so
      watcher_->Wait(std::min<base::Duration>(until - now, kNapMax));
      return;
    }
    if (changed()) return;
    switch (watcher_->Wait(until - now)) {
      case env::FileWatcher::Event::kWoken: return;
      case env::FileWatcher::Event::kLimit: break;
      case env::FileWatcher::Event::kWritten:
        last_activity_ = env_.Now();  // the commit that this write belongs to is near: nap
        break;
    }
  }
}

Counters Capture::counters() const {
  Counters counters = counters_;
  counters.left_by_k = keeper_->left_by_k();
  counters.left_by_z = keeper_->left_by_z();
  counters.pin = pins_->ToString();
  counters.wal_bytes =
      uint64_t{index_->mx_frame_hint()} * (sqlite::kWalFrameHeaderBytes + uint64_t{page_size_});
  return counters;
}

}  // namespace understudy::capture
