// SPDX-License-Identifier: Apache-2.0
// Capture's start: find the place in the WAL again, or compare pages and log the differences.
#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "base/thread.h"
#include "capture/capture.h"
#include "capture/capture_sink.h"

namespace understudy::capture {

using base::Result;
using base::Status;

namespace {
// Readers that use all four marks at once are rare and short.
constexpr base::Duration kFirstPinWaitMax = std::chrono::seconds(5);
constexpr size_t kCompareBytes = 4 << 20;

// A frame with these salts, number and running checksum can only be the one that was captured.
Result<bool> HasFrame(const sqlite::WalIndexHeader& header, const sqlite::WalFile& wal,
                      uint32_t page_size, const log::SourcePosition& source) {
  const sqlite::WalSalts salts{source.salt1, source.salt2};
  if (source.frame == 0 || header.wal_salts() != salts || header.mx_frame < source.frame)
    return false;
  base::Bytes frame(sqlite::kWalFrameHeaderBytes + page_size);
  ASSIGN_OR_RETURN(const bool there, wal.ReadFrames(source.frame, page_size, frame));
  if (!there) return false;
  const sqlite::WalFrameHeader found = sqlite::ParseWalFrameHeader(frame.data());
  return found.salts == salts &&
         found.checksum == sqlite::WalChecksum{source.checksum1, source.checksum2};
}
}  // namespace

Result<std::unique_ptr<Capture>> Capture::Open(env::Env& env, const Options& options,
                                               log::LogStore& log) {
  std::unique_ptr<Capture> capture(new Capture(env, options, log));
  RETURN_IF_ERROR(capture->Start().WithContext("capture of " + options.path));
  return capture;
}

Result<bool> Capture::WalContinues(const std::string& path, const log::SourcePosition& source) {
  ASSIGN_OR_RETURN(const auto connection,
                   sqlite::Connection::Open(path, {.busy_timeout = kWriteLockWaitMax, .vfs = ""}));
  sqlite::KeepWalAtClose(*connection);
  ASSIGN_OR_RETURN(const sqlite::WalIndex index, sqlite::WalIndex::Map(*connection));
  ASSIGN_OR_RETURN(const sqlite::WalIndexHeader header, index.AwaitHeader());
  ASSIGN_OR_RETURN(const sqlite::WalFile wal, sqlite::WalFile::Of(*connection));
  return HasFrame(header, wal, header.page_size(), source);
}

Status Capture::Start() {
  if (log_.incomplete()) RETURN_IF_ERROR(log_.DropIncomplete());
  const log::LogEnd end = log_.end();
  if (end.position.term > options_.term)
    return base::Fenced(fmt::format("the log is at term {} already, this mount has term {}",
                                    end.position.term.value, options_.term.value));
  RETURN_IF_ERROR(OpenDatabase());
  RETURN_IF_ERROR(TakeFirstPin());
  if (end.position.seq.value != 0 && end.page_size != page_size_)
    return base::InvalidArgument(
        fmt::format("its pages have {} bytes, but {} in its log: remove the database from the "
                    "group and add it again",
                    page_size_, end.page_size));

  ASSIGN_OR_RETURN(const bool has_table, LoadTable());
  if (options_.at_log_end) {
    if (!has_table) return base::Internal("a copy is being mounted without its page table");
    ASSIGN_OR_RETURN(const sqlite::WalIndexHeader header, index_->AwaitHeader());
    SetCursor(header);
    RETURN_IF_ERROR(Mount(Source()));
  } else if (!has_table) {
    RETURN_IF_ERROR(BuildTable());
    RETURN_IF_ERROR(Mount(Source()));
  } else {
    ASSIGN_OR_RETURN(const bool found, FindPlace(end.source));
    RETURN_IF_ERROR(Mount(end.source));
    if (!found) RETURN_IF_ERROR(Heal("the WAL does not continue where the log ends"));
  }
  RETURN_IF_ERROR(log_.Sync());
  next_identity_check_ = env_.Now() + kIdentityCheckInterval;
  return SaveCheckpoint();
}

Status Capture::OpenDatabase() {
  ASSIGN_OR_RETURN(
      const sqlite::DatabaseFacts facts,
      sqlite::CheckDatabase(env_, options_.path,
                            {.set_wal_mode = options_.set_wal_mode, .allow_read_only_mark = true}));
  page_size_ = facts.page_size;
  ASSIGN_OR_RETURN(connection_, sqlite::Connection::Open(
                                    options_.path, {.busy_timeout = kWriteLockWaitMax, .vfs = ""}));
  sqlite::KeepWalAtClose(*connection_);
  ASSIGN_OR_RETURN(index_, sqlite::WalIndex::Map(*connection_));
  ASSIGN_OR_RETURN(wal_, sqlite::WalFile::Of(*connection_));
  ASSIGN_OR_RETURN(const uint64_t wal_bytes, wal_->Size());
  wal_file_frames_ = sqlite::WalFramesIn(wal_bytes, page_size_);
  ASSIGN_OR_RETURN(file_, connection_->file());
  for (const std::string& path : {options_.path, wal_path_, options_.path + "-shm"}) {
    ASSIGN_OR_RETURN(const env::FileStat about, env_.Stat(path));
    identities_.push_back({path, about.device, about.inode});
  }
  if (identities_[0].inode != facts.inode || identities_[0].device != facts.device)
    return base::Unavailable(options_.path + " is being replaced by another file: try again");

  pins_ = std::make_unique<sqlite::Pins>(*index_);
  keeper_ = std::make_unique<PinKeeper>(*index_, *pins_);
  scan_ = std::make_unique<WalScan>(*wal_, page_size_);
  ASSIGN_OR_RETURN(watcher_, env_.NewWatcher());
  encoder_ = std::make_unique<log::RecordEncoder>(
      log::RecordEncoder::Options{.database = options_.database,
                                  .page_size = page_size_,
                                  .zstd_level = options_.zstd_level,
                                  .cache_bytes_max = options_.image_cache_bytes},
      [this](base::PageNo page, std::span<uint8_t> out) {
        return sqlite::ReadDatabaseFile(file_, page, page_size_, out).ok();
      });
  return Status();
}

Status Capture::TakeFirstPin() {
  const base::SteadyTime deadline = env_.Now() + kFirstPinWaitMax;
  for (;;) {
    ASSIGN_OR_RETURN(const bool pinned, pins_->TryTakeS());
    if (pinned) return Status();
    if (env_.Now() >= deadline)
      return base::Busy(
          "long-running readers use all four read marks of its WAL: end one of them and try again");
    base::Yield();
  }
}

Result<bool> Capture::LoadTable() {
  const log::LogEnd end = log_.end();
  if (end.position.seq.value == 0) return false;
  Result<log::Checkpoint> checkpoint = log::LoadCheckpoint(env_, options_.checkpoint_path);
  Status status = checkpoint.status();
  if (status.ok() && checkpoint->database != options_.database)
    status = base::Corruption("it is of another database");
  if (status.ok()) status = log::RollForward(log_, *checkpoint);
  if (status.ok() && checkpoint->table.checksum() != end.checksum)
    status = base::Corruption("its checksum is not the log's");
  if (status.ok()) {
    table_ = std::move(checkpoint->table);
    return true;
  }
  base::Diag(base::DiagLevel::kWarning, "capture", "page table is not usable, reading the database",
             {{"path", options_.checkpoint_path}, {"reason", status.ToString()}});
  return false;
}

void Capture::SetCursor(const sqlite::WalIndexHeader& header) {
  cursor_ = {.salts = header.wal_salts(),
             .frame = header.mx_frame,
             .sum = header.frame_sum(),
             .big_endian = header.big_endian_checksum != 0};
  may_restart_ = header.mx_frame == 0;
}

Result<bool> Capture::FindPlace(const log::SourcePosition& source) {
  ASSIGN_OR_RETURN(const sqlite::WalIndexHeader header, index_->AwaitHeader());
  ASSIGN_OR_RETURN(const bool found, HasFrame(header, *wal_, page_size_, source));
  if (!found) return false;
  cursor_ = {.salts = header.wal_salts(),
             .frame = source.frame,
             .sum = {source.checksum1, source.checksum2},
             .big_endian = header.big_endian_checksum != 0};
  may_restart_ = false;
  return true;
}

Result<std::unique_ptr<sqlite::SnapshotReader>> Capture::TakeSnapshot() {
  Result<std::unique_ptr<sqlite::SnapshotReader>> snapshot =
      sqlite::SnapshotReader::Open(options_.path);
  if (snapshot.ok() || snapshot.status().code() != base::Code::kBusy) return snapshot;
  // Commits come too fast to fall between two: keep them out for an instant.
  ASSIGN_OR_RETURN(sqlite::Connection* const writer, Writer());
  RETURN_IF_ERROR(writer->Execute("BEGIN IMMEDIATE"));
  snapshot = sqlite::SnapshotReader::Open(options_.path);
  RETURN_IF_ERROR(writer->Execute("ROLLBACK"));
  return snapshot;
}

// The first time, or without a page table: hash every page of a snapshot.
Status Capture::BuildTable() {
  ASSIGN_OR_RETURN(const std::unique_ptr<sqlite::SnapshotReader> snapshot, TakeSnapshot());
  const uint32_t pages_at_once = static_cast<uint32_t>(kCompareBytes / page_size_);
  base::Bytes images(size_t{pages_at_once} * page_size_);
  table_ = log::PageTable();
  table_.Resize(snapshot->pages());
  for (uint32_t first = 1; first <= snapshot->pages(); first += pages_at_once) {
    const uint32_t count = std::min(pages_at_once, snapshot->pages() - first + 1);
    const std::span<uint8_t> out = std::span(images).first(size_t{count} * page_size_);
    RETURN_IF_ERROR(snapshot->ReadPages(base::PageNo(first), count, out));
    for (uint32_t i = 0; i < count; ++i) {
      const base::PageNo page(first + i);
      table_.Set(page, log::HashPage(page, out.subspan(size_t{i} * page_size_, page_size_)));
    }
  }
  SetCursor(snapshot->header());
  const log::LogEnd end = log_.end();
  if (end.position.seq.value != 0 && end.checksum != table_.checksum())
    return base::Corruption(
        fmt::format("the page table {} is lost and the database is not what its log ends with, so "
                    "the differences cannot be told: remove the database from the group and add it "
                    "again",
                    options_.checkpoint_path));
  return Status();
}

Status Capture::Mount(const log::SourcePosition& source) {
  if (log_.end().position.term == options_.term) return Status();  // the same mount goes on
  log::RecordInfo info = NextRecord(log::kRecordMount, 1, table_.pages());
  info.source = source;
  encoder_->Begin(info, table_, *sink_);
  ++counters_.records;
  pacer_.OnAppend(1, env_.Now());
  return encoder_->Finish();
}

Status Capture::Heal(std::string_view reason) {
  while (!pins_->has_s()) RETURN_IF_ERROR(TakeFirstPin());
  ASSIGN_OR_RETURN(const std::unique_ptr<sqlite::SnapshotReader> snapshot, TakeSnapshot());
  const uint64_t healed_before = counters_.healed_pages;
  RETURN_IF_ERROR(CompareAndLog(*snapshot));
  const uint64_t pages = counters_.healed_pages - healed_before;
  base::Diag(pages > 0 ? base::DiagLevel::kWarning : base::DiagLevel::kInfo, "capture",
             "compared all pages with the log",
             {{"database", options_.path},
              {"reason", reason},
              {"pages", snapshot->pages()},
              {"different", pages},
              {"position", base::ToString(log_.end().position)}});
  return Status();
}

Status Capture::CompareAndLog(sqlite::SnapshotReader& snapshot) {
  SetCursor(snapshot.header());
  const uint32_t pages_at_once = static_cast<uint32_t>(kCompareBytes / page_size_);
  base::Bytes images(size_t{pages_at_once} * page_size_);
  bool begun = false;
  const auto begin = [&] {
    if (begun) return;
    encoder_->Begin(NextRecord(log::kRecordHealing, 1, snapshot.pages()), table_, *sink_);
    begun = true;
  };
  if (table_.pages() != snapshot.pages()) begin();
  for (uint32_t first = 1; first <= snapshot.pages(); first += pages_at_once) {
    const uint32_t count = std::min(pages_at_once, snapshot.pages() - first + 1);
    const std::span<uint8_t> out = std::span(images).first(size_t{count} * page_size_);
    const Status read = snapshot.ReadPages(base::PageNo(first), count, out);
    if (!read.ok())  // not kBusy, which would be taken for "nothing happened"
      return base::IoError("comparing pages: " + read.ToString());
    for (uint32_t i = 0; i < count; ++i) {
      const base::PageNo page(first + i);
      const base::ByteView image = out.subspan(size_t{i} * page_size_, page_size_);
      if (table_.HashOf(page) == log::HashPage(page, image)) continue;
      begin();
      ++counters_.healed_pages;
      RETURN_IF_ERROR(encoder_->AddPage(page, image));
    }
  }
  if (!begun) return Status();
  run_unsynced_ = true;  // whatever led to it is in no record either
  ++counters_.healing_records;
  ++counters_.records;
  pacer_.OnAppend(1, env_.Now());
  return encoder_->Finish();
}

Status Capture::SaveCheckpoint() {
  RETURN_IF_ERROR(SyncNow());
  // After a power cut the database must not be behind the page table: replay could not tell then
  // what the database has (docs/design/0004).
  RETURN_IF_ERROR(wal_->Sync());
  const log::LogEnd end = log_.end();
  RETURN_IF_ERROR(
      log::SaveCheckpoint(env_, options_.checkpoint_path, {options_.database, end, table_}));
  log_.SetHold({.name = std::string(kHoldName),
                .reason = "the page table was saved there; the next save moves it",
                .seq = end.position.seq});
  checkpoint_at_log_bytes_ = counters_.log_bytes;
  return Status();
}

Status Capture::Close() {
  if (!failed_.ok()) return Status();  // reported already; what is in the log stays good
  RETURN_IF_ERROR(CatchUp());
  RETURN_IF_ERROR(SaveCheckpoint());
  failed_ = base::Cancelled("capture of " + options_.path + " was closed");
  return Status();
}

}  // namespace understudy::capture
