// SPDX-License-Identifier: Apache-2.0
#include "replay/replayer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/diag.h"
#include "base/planted.h"
#include "replay/position_finder.h"

namespace understudy::replay {
namespace {

using base::Code;
using base::PageNo;
using base::Result;
using base::Status;

// A trickle of records does not save the whole page table at every idle checkpoint.
constexpr base::Duration kSaveWhenIdleInterval = std::chrono::seconds(60);
constexpr uint64_t kTableEntryBytes = 8;
// After a kill, the first reader to come may be recovering the WAL just now.
constexpr base::Duration kRecoveryWaitMax = std::chrono::seconds(5);

}  // namespace

Replayer::Replayer(env::Env& env, const Options& options, log::LogStore& log)
    : env_(env), options_(options), log_(log) {}
Replayer::~Replayer() = default;

Result<std::unique_ptr<Replayer>> Replayer::Open(env::Env& env, const Options& options,
                                                 log::LogStore& log) {
  std::unique_ptr<Replayer> replayer(new Replayer(env, options, log));
  RETURN_IF_ERROR(replayer->Start().WithContext("replay into " + options.path));
  return replayer;
}

Status Replayer::Start() {
  ASSIGN_OR_RETURN(wal_, sqlite::PassiveWal::Open(env_, {.path = options_.path,
                                                         .vfs = options_.vfs,
                                                         .busy_timeout = kRecoveryWaitMax}));
  image_.resize(wal_->page_size());
  base_image_.resize(wal_->page_size());
  saved_time_ = last_work_ = env_.Now();
  next_checkpoint_bytes_ = options_.wal_bytes_max;
  RETURN_IF_ERROR(Recover());
  chain_ = log::RecordChain(replayed_, std::nullopt);
  log_.SetHold({.name = std::string(kHoldName),
                .reason = "replay needs it after a restart; goes on with its checkpoints",
                .seq = saved_.seq});
  if (options_.set_read_only_mark && !PLANTED("mark-not-set")) {
    RETURN_IF_ERROR(wal_->SetReadOnlyMark(true));
    // A passive copy that comes back writable after a power cut could be written, and would be
    // taken for one that was mounted: what it lacks of its log would be undone.
    if (!PLANTED("mark-not-synced")) RETURN_IF_ERROR(wal_->SyncWal());
  }
  ASSIGN_OR_RETURN(reader_, log_.ReadAfter(replayed_.position.seq));
  return Status();
}

Status Replayer::Recover() {
  Result<log::Checkpoint> loaded = log::LoadCheckpoint(env_, options_.checkpoint_path);
  const bool usable = loaded.ok() && loaded->database == options_.database &&
                      loaded->at.page_size == wal_->page_size();
  if (!usable) {
    if (!loaded.ok() && loaded.status().code() != Code::kNotFound &&
        loaded.status().code() != Code::kCorruption) {
      return loaded.status();
    }
    base::Diag(base::DiagLevel::kWarning, "replay", "no usable checkpoint file; reading all pages",
               {{"file", options_.checkpoint_path},
                {"why", loaded.ok() ? "it is of another database" : loaded.status().message()}});
    ASSIGN_OR_RETURN(loaded, RebuildCheckpoint(log_, options_.database, *wal_));
  }
  if (loaded->at.position.seq > log_.durable().seq) {
    return base::LogGap(fmt::format("the database has replayed up to {}, but its log ends at {}",
                                    base::ToString(loaded->at.position),
                                    base::ToString(log_.durable())));
  }
  const Result<log::LogEnd> state = log_.StateAt(loaded->at.position.seq);
  if (state.ok() && state->checksum != loaded->at.checksum) {
    return base::Diverged(fmt::format("the log has another record {} than the database replayed",
                                      loaded->at.position.seq.value));
  }
  ASSIGN_OR_RETURN(FoundPosition found,
                   FindPosition(log_, *loaded, *wal_, usable && options_.verify_all));
  saved_ = loaded->at.position;
  replayed_ = found.at;
  table_ = std::move(found.table);
  versions_ = std::move(found.versions);
  mixed_until_ = found.mixed_until;
  return Status();
}

Result<Replayer::RunResult> Replayer::RunOnce(base::SteadyTime now) {
  RETURN_IF_ERROR(failed_);
  RunResult result;
  Status status = ApplySome(result);
  if (status.ok()) {
    if (result.worked) last_work_ = now;
    status = MaybeCheckpoint(now, result);
  }
  if (!status.ok()) {
    RETURN_IF_ERROR(OnFailure(status));
    result.worked = true;
  }
  return result;
}

Status Replayer::ApplySome(RunResult& result) {
  const uint64_t stop_at = counters_.page_bytes + options_.run_bytes_max;
  const uint64_t stop_at_log = counters_.log_bytes + options_.run_bytes_max;
  while (counters_.page_bytes < stop_at && counters_.log_bytes < stop_at_log) {
    ASSIGN_OR_RETURN(const bool has_part, HasPart());
    if (!has_part) break;
    result.worked = true;
    const log::LogReader::Item item = *std::exchange(part_, std::nullopt);
    RETURN_IF_ERROR(ApplyPart(item));
    const bool is_full =
        group_bytes_ >= options_.group_bytes_max || applied().position.seq <= single_until_;
    if (!in_record() && is_full) RETURN_IF_ERROR(Publish());
    // Only between records is the WAL put into the file. Without stopping there, runs that end in
    // the middle of large records would make it as large as all that is to be caught up with.
    if (!in_record() && wal_->wal_bytes() >= next_checkpoint_bytes_) break;
  }
  return in_record() ? Status() : Publish();
}

// Whether part_ is one to apply now. A mixture that a crash left is mended whatever the limit.
Result<bool> Replayer::HasPart() {
  const base::Seq limit = std::max(limit_, mixed_until_);
  if (!part_ && !in_record() && applied().position.seq >= limit) return false;
  if (!part_) {
    ASSIGN_OR_RETURN(part_, reader_->Next());
  }
  return part_ && (!part_->part.header.first() || part_->part.header.seq_last <= limit);
}

// Whatever was found in a group of several records: go over them again one by one, so that what is
// good becomes visible and the failure is that of one record.
Status Replayer::OnFailure(Status status) {
  const bool several = applied().position != replayed_.position && !mending();
  const bool of_content = status.code() == Code::kDiverged || status.code() == Code::kCorruption;
  if (several && of_content) {
    single_until_ = applied().position.seq;
    status = AbandonGroup();
    if (status.ok()) return status;
  }
  wal_->Abandon().IgnoreError();  // replay has failed already
  failed_ = status.WithContext(fmt::format("replay into {} after record {}", options_.path,
                                           base::ToString(replayed_.position)));
  return failed_;
}

Status Replayer::ApplyPart(const log::LogReader::Item& item) {
  const log::PartHeader& header = item.part.header;
  counters_.log_bytes += item.part.bytes.size();
  if (header.first() && in_record()) {  // the log dropped the rest of it, and begins it anew
    RETURN_IF_ERROR(AbandonGroup());
    return Status();
  }
  // Should the log drop a record of many parts half-way, the ones before it must stand.
  if (header.first() && !header.last()) RETURN_IF_ERROR(Publish());
  const auto of_record = [&](const Status& status) {
    return status.WithContext("record " + base::ToString(header.position()));
  };
  RETURN_IF_ERROR(of_record(CheckPart(header)));
  for (const log::Entry& entry : item.part.entries) {
    RETURN_IF_ERROR(
        of_record(ApplyEntry(header, entry).WithContext(fmt::format("page {}", entry.page.value))));
  }
  if (header.last()) RETURN_IF_ERROR(of_record(CheckRecordEnd(header)));
  chain_.Advance(header, log::PartCrc(item.part.bytes), item.generation);
  return Status();
}

Status Replayer::CheckPart(const log::PartHeader& header) const {
  if (header.database != options_.database)
    return base::Corruption("it is of database " + header.database.ToHex());
  if (header.page_size != wal_->page_size())
    return base::Diverged(fmt::format("its pages have {} bytes, the database's {}",
                                      header.page_size, wal_->page_size()));
  if (header.pages_after == 0) return base::Corruption("it leaves no page");
  Status follows = chain_.Check(header);
  // The log holds to these rules itself.
  if (follows.code() == Code::kInvalidArgument || follows.code() == Code::kAlreadyExists)
    return base::Corruption(follows.message());
  return follows;
}

Status Replayer::ApplyEntry(const log::PartHeader& header, const log::Entry& entry) {
  if (entry.page.value == 0 || entry.page.value > header.pages_after)
    return base::Corruption(fmt::format("the record leaves {} pages", header.pages_after));
  if (!versions_.empty()) {
    const auto version = versions_.find(entry.page);
    if (version != versions_.end() && header.seq_last <= version->second) {
      ++counters_.skipped_pages;
      SetHash(entry.page, entry.hash);
      return Status();
    }
  }
  RETURN_IF_ERROR(Decode(entry));
  RETURN_IF_ERROR(wal_->AppendPage(entry.page, image_));
  SetHash(entry.page, entry.hash);
  ++counters_.pages;
  counters_.page_bytes += image_.size();
  group_bytes_ += image_.size();
  return Status();
}

// Into image_.
Status Replayer::Decode(const log::Entry& entry) {
  base::ByteView base;
  if (entry.encoding == log::Encoding::kDelta) {
    RETURN_IF_ERROR(wal_->ReadPage(entry.page, base_image_));
    base = base_image_;
  }
  Status status = decoder_.Decode(entry, base, image_);
  if (!status.ok() && !base.empty() &&
      log::HashPage(entry.page, base) != table_.HashOf(entry.page)) {
    return base::Corruption(
        "its image in the passive database is not the one that was replayed; the file was damaged "
        "or changed by somebody else");
  }
  return status;
}

void Replayer::SetHash(PageNo page, uint64_t hash) {
  undo_pages_.push_back(page);
  undo_hashes_.push_back(table_.HashOf(page));
  table_.Set(page, hash);
}

Status Replayer::CheckRecordEnd(const log::PartHeader& header) {
  for (uint32_t page = header.pages_after; page < table_.pages(); ++page) {
    undo_pages_.push_back(PageNo(page + 1));
    undo_hashes_.push_back(table_.hashes()[page]);
  }
  table_.Resize(header.pages_after);
  ++counters_.records;
  if (PLANTED("record-end-not-compared")) return Status();
  if (table_.checksum() == header.checksum_after) return Status();
  return base::Diverged(
      fmt::format("database checksum after it is {:016x}, the record says {:016x} (R5)",
                  table_.checksum(), header.checksum_after));
}

// Makes the complete records of the group visible. REQUIRES: no record is open.
Status Replayer::Publish() {
  if (applied().position == replayed_.position) return Status();
  if (applied().position.seq < mixed_until_) return Status();  // readers must not see a mixture
  RETURN_IF_ERROR(wal_->Commit(applied().pages));
  replayed_ = applied();
  versions_.clear();
  undo_pages_.clear();
  undo_hashes_.clear();
  group_bytes_ = 0;
  ++counters_.groups;
  return Status();
}

void Replayer::UndoGroup(log::PageTable& table) const {
  for (size_t i = undo_pages_.size(); i-- > 0;) table.Set(undo_pages_[i], undo_hashes_[i]);
  table.Resize(replayed_.pages);
  CHECK(table.checksum() == replayed_.checksum);
}

// Back to replayed_, and reads on from there.
Status Replayer::AbandonGroup() {
  RETURN_IF_ERROR(wal_->Abandon());
  UndoGroup(table_);
  undo_pages_.clear();
  undo_hashes_.clear();
  group_bytes_ = 0;
  chain_ = log::RecordChain(replayed_, std::nullopt);
  ++counters_.rewinds;
  part_.reset();
  ASSIGN_OR_RETURN(reader_, log_.ReadAfter(replayed_.position.seq));
  return Status();
}

Status Replayer::MaybeCheckpoint(base::SteadyTime now, RunResult& result) {
  if (in_record() || wal_->has_uncommitted()) return Status();
  const bool is_large = wal_->wal_bytes() >= next_checkpoint_bytes_;
  const base::SteadyTime idle_at =
      std::max(last_work_ + options_.idle_checkpoint, next_idle_checkpoint_);
  ASSIGN_OR_RETURN(const uint32_t backfilled, wal_->backfilled());
  const bool is_behind = backfilled < wal_->wal_frames();
  const bool is_idle = !result.worked && now >= idle_at && is_behind;
  if (is_large || is_idle) RETURN_IF_ERROR(CheckpointWal());
  if (is_idle) next_idle_checkpoint_ = now + options_.idle_checkpoint;
  if (!result.worked && is_behind && !is_idle) result.next = idle_at;
  if (!result.worked && is_idle) result.next = next_idle_checkpoint_;

  const uint64_t unsaved = counters_.page_bytes - page_bytes_saved_;
  const uint64_t interval =
      std::max(options_.checkpoint_file_interval_bytes, 16 * kTableEntryBytes * table_.pages());
  const bool saves_idle = is_idle && unsaved != 0 && now - saved_time_ >= kSaveWhenIdleInterval;
  if (unsaved < interval && !saves_idle) return Status();
  saved_time_ = now;
  return SaveCheckpointFile();
}

Status Replayer::CheckpointWal() {
  ASSIGN_OR_RETURN(const auto done, wal_->Checkpoint());
  if (done.complete) {
    ++counters_.checkpoints;
    next_checkpoint_bytes_ = options_.wal_bytes_max;
  } else {  // a reader needs the rest: not again before as much more has come
    ++counters_.checkpoints_cut;
    next_checkpoint_bytes_ =
        std::max(next_checkpoint_bytes_, wal_->wal_bytes() + options_.wal_bytes_max);
  }
  return Status();
}

// The WAL is synced first: after a power cut the database is never behind its checkpoint file.
Status Replayer::SaveCheckpointFile() {
  if (mending() || saved_ == replayed_.position) return Status();
  RETURN_IF_ERROR(wal_->SyncWal());
  RETURN_IF_ERROR(
      log::SaveCheckpoint(env_, options_.checkpoint_path,
                          {.database = options_.database, .at = replayed_, .table = table_}));
  saved_ = replayed_.position;
  page_bytes_saved_ = counters_.page_bytes;
  ++counters_.checkpoint_files;
  log_.SetHold({.name = std::string(kHoldName),
                .reason = "replay needs it after a restart; goes on with its checkpoints",
                .seq = saved_.seq});
  return Status();
}

Result<Replayer::Snapshot> Replayer::OpenSnapshot(bool with_hashes) {
  RETURN_IF_ERROR(failed_);
  if (mending())
    return base::Unavailable(
        fmt::format("{} is being mended after a crash; ask again when seq {} "
                    "is replayed",
                    options_.path, mixed_until_.value));
  Snapshot snapshot{.reader = nullptr, .at = replayed_, .hashes = {}};
  ASSIGN_OR_RETURN(snapshot.reader, sqlite::SnapshotReader::Open(options_.path, options_.vfs));
  if (snapshot.reader->pages() != replayed_.pages)
    return base::Internal(fmt::format("snapshot of {} has {} pages, record {} has {}",
                                      options_.path, snapshot.reader->pages(),
                                      base::ToString(replayed_.position), replayed_.pages));
  if (with_hashes) {
    log::PageTable table = table_;
    UndoGroup(table);
    snapshot.hashes = table.hashes();
  }
  return snapshot;
}

Status Replayer::Checkpoint() {
  RETURN_IF_ERROR(failed_);
  if (in_record() || wal_->has_uncommitted()) RETURN_IF_ERROR(AbandonGroup());
  RETURN_IF_ERROR(CheckpointWal());
  return SaveCheckpointFile();
}

Result<std::unique_ptr<sqlite::PassiveWal>> Replayer::HandOver() {
  RETURN_IF_ERROR(failed_);
  if (mending())
    return base::Unavailable(fmt::format("replay up to seq {} first", mixed_until_.value));
  if (in_record() || wal_->has_uncommitted()) RETURN_IF_ERROR(AbandonGroup());
  RETURN_IF_ERROR(SaveCheckpointFile());
  log_.ReleaseHold(std::string(kHoldName));
  failed_ = base::Cancelled("this copy was handed over to be mounted");
  return std::move(wal_);
}

Status Replayer::PrepareMount() {
  ASSIGN_OR_RETURN(const std::unique_ptr<sqlite::PassiveWal> wal, HandOver());
  RETURN_IF_ERROR(wal->SetReadOnlyMark(false));
  return wal->Checkpoint().status();
}

}  // namespace understudy::replay
