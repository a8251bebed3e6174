// SPDX-License-Identifier: Apache-2.0
#include "backup/backup_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "backup/describe.h"
#include "backup/page_codec.h"
#include "backup/page_hashes.h"
#include "backup/stored_chain.h"
#include "store/limited_upload.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMethodReadBack =
    "read back from disk after sync: every page, file checksum, database checksum";
// Pages that are compressed to predict the size, evenly spread.
constexpr uint32_t kSamplePages = 64;

std::string Mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

BackupRun::BackupRun(env::Env& env, Executor& executor, const Repository& repository,
                     SnapshotSource& source, const BackupOptions& options)
    : env_(env),
      executor_(executor),
      repository_(repository),
      source_(source),
      options_(WithRenewals(options)),
      at_(source.at()) {}

BackupOptions BackupRun::WithRenewals(const BackupOptions& options) {
  BackupOptions renewing = options;
  renewing.progress = [this, progress = options.progress](const base::Progress& done) {
    if (lock_ != nullptr) lock_->RenewIfDue();
    return !progress || progress(done);
  };
  return renewing;
}

BackupResult BackupRun::Run() {
  began_ = env_.Now();
  base::Status status = RunSteps();
  if (!status.ok()) {
    CleanUp();
    status = status.WithContext(
        fmt::format("backup of {} into {}", document_.database_name, repository_.name()));
  }
  BackupResult result{.status = status, .document = document_, .phase = phase_};
  result.state = status.ok() ? WriterState::kStable : FailedStateOf(phase_);
  result.code = WriterCodeOf(status);
  return result;
}

base::Status BackupRun::RunSteps() {
  phase_ = Phase::kPrepareForBackup;
  RETURN_IF_ERROR(Describe());
  const std::string& name = document_.database_name;
  RETURN_IF_ERROR(repository_.PrepareDatabase(name, document_.database));
  ASSIGN_OR_RETURN(lock_, repository_.LockDatabase(name));
  // Again, now that nobody else can be at it.
  RETURN_IF_ERROR(repository_.PrepareDatabase(name, document_.database));
  RETURN_IF_ERROR(repository_.RemoveLeftovers(name));
  ASSIGN_OR_RETURN(list_, repository_.List(name));
  RETURN_IF_ERROR(CheckHistory());
  RETURN_IF_ERROR(Store());
  RETURN_IF_ERROR(CheckLaterIncrements());
  phase_ = Phase::kBackupComplete;
  return Publish();
}

base::Status BackupRun::Describe() {
  document_ = DescribeSnapshot(source_);
  document_.type = options_.type;
  document_.started = env_.WallNow();
  document_.id = options_.id.empty()
                     ? MakeBackupId(document_.started, document_.type, env_.Random())
                     : options_.id;
  document_.software = options_.software;
  document_.bytes_pages = uint64_t{document_.pages} * document_.page_size;
  RETURN_IF_ERROR(base::CheckName("database name", document_.database_name));
  if (!log::IsPageSize(document_.page_size) || document_.pages == 0) {
    return base::InvalidArgument(fmt::format("{} pages of {} bytes are not a database",
                                             document_.pages, document_.page_size));
  }
  if (at_.position.seq.value == 0) {
    return base::InvalidArgument("it has no position in the log yet; wait for its first record");
  }
  return base::Status();
}

// A seq names files, and says where an increment begins: it has one content in a repository.
base::Status BackupRun::CheckHistory() const {
  for (const BackupDocument& other : list_.backups) {
    if (other.position.seq != at_.position.seq) continue;
    if (other.checksum == document_.checksum && other.pages == document_.pages) continue;
    return base::Diverged(fmt::format(
        "backup {} has other content at the same seq {} (its term is {}, this one's is {}); use "
        "another repository for this history",
        other.id, at_.position.seq.value, other.position.term.value, at_.position.term.value));
  }
  return {};
}

// Litestream may apply a stored increment to any stored state that it spans: to this one too, if
// the copy is behind an earlier backup. Then every page that differs must be in it.
base::Status BackupRun::CheckLaterIncrements() {
  const uint64_t seq = at_.position.seq.value;
  for (const BackupDocument& later : list_.backups) {
    if (!IsIncrement(later.type) || later.files.empty()) continue;
    if (seq < later.files[0].min_txid || seq >= later.files[0].max_txid) continue;
    const std::string path = repository_.FilePath(later.files[0]);
    auto opened = repository_.store().Open(later.files[0].path);
    if (!opened.ok()) continue;  // nor can Litestream
    const auto file = LtxFile::Open(std::move(*opened), path);
    const auto then = PageHashesOf(executor_, repository_, list_, later);
    if (!file.ok() || !then.ok()) continue;
    std::set<uint32_t> has;
    for (const LtxFrame& frame : file.value()->frames()) has.insert(frame.page);
    for (uint32_t page = 1; page <= later.pages; ++page) {
      const bool same = page <= hashes_.size() && hashes_[page - 1] == (*then)[page - 1];
      if (same || page == LockPage(later.page_size) || has.contains(page)) continue;
      return base::Diverged(fmt::format(
          "backup {} is newer, and its changes cannot be applied to this state: page {} differs; "
          "back up a copy that is not behind it, or use another repository",
          later.id, page));
    }
  }
  return {};
}

base::Status BackupRun::BeginUpload() {
  ASSIGN_OR_RETURN(upload_,
                   repository_.store().Begin(
                       {.key = file_.path,
                        .temporary = repository_.PartialKey(document_.database_name, document_.id),
                        // Litestream takes the time of a file from here.
                        .modified = base::WallTime{HeaderOf(document_, file_).timestamp_ms}}));
  if (options_.bytes_per_second != 0) {
    upload_ = std::make_unique<store::LimitedUpload>(env_, repository_.pause(),
                                                     options_.bytes_per_second, std::move(upload_));
  }
  return {};
}

base::Status BackupRun::Predict(uint32_t pages, const std::function<base::PageNo(uint32_t)>& nth) {
  const uint32_t page_size = document_.page_size;
  const uint32_t samples = std::min(kSamplePages, pages);
  PageEncoder encoder;
  EncodedChunk chunk;
  base::Bytes page(page_size);
  uint64_t stored = 0;
  for (uint64_t i = 0; i < samples; ++i) {
    const base::PageNo number = nth(static_cast<uint32_t>(i * pages / samples));
    RETURN_IF_ERROR(source_.ReadPages(number, 1, page));
    encoder.Encode(number, page_size, page, chunk);
    stored += chunk.bytes;
  }
  const uint64_t needed = stored * pages / samples;
  ASSIGN_OR_RETURN(const std::optional<env::Space> space, repository_.store().Free());
  Prediction prediction{.bytes_to_store = needed, .bytes_free = space ? space->free : 0};
  PredictTime(list_, prediction);
  if (options_.predicted) options_.predicted(prediction);
  if (!space || space->free >= needed) return CheckTime(prediction, options_.time_max);
  return base::NoSpace(
      fmt::format("it needs about {} ({} of pages, of which {} sampled shrink to {} %), and {} are "
                  "free there; free some or choose another repository",
                  Mib(needed), Mib(uint64_t{pages} * page_size), samples,
                  stored * 100 / (static_cast<uint64_t>(samples) * page_size), Mib(space->free)));
}

base::Status BackupRun::Replace(const std::string& path) {
  if (!list_.unreadable.empty()) {
    return base::AlreadyExists(fmt::format(
        "{} exists and {} cannot be read ({}), so it is not known whether the file may "
        "be replaced; repair or remove that document",
        path, list_.unreadable.front().path, list_.unreadable.front().status.message()));
  }
  replace_ = true;
  return {};
}

base::Status BackupRun::Publish() {
  const std::string& name = document_.database_name;
  Complete(document_, file_, env_.WallNow(), env_.Now() - began_, kMethodReadBack);
  document_.phase = Phase::kBackupComplete;

  RETURN_IF_ERROR(WritePageHashes(repository_, document_, hashes_));
  if (upload_ != nullptr) RETURN_IF_ERROR(upload_->Publish(replace_));
  RETURN_IF_ERROR(lock_->Check());
  // The commit point.
  base::Status listed = repository_.PutDocument(document_);
  // Whoever took the lock over meanwhile may have taken the data away.
  if (listed.ok()) listed = lock_->Check();
  // Not known to be there for good, so it was no backup; CleanUp takes its data away.
  if (!listed.ok()) {
    repository_.store().Delete(repository_.DocumentKey(name, document_.id)).IgnoreError();
  }
  return listed;
}

void BackupRun::CleanUp() {
  upload_.reset();
  // Best effort: what cannot be removed now, the next backup removes.
  if (lock_ == nullptr || !lock_->Check().ok()) return;
  repository_.RemoveLeftovers(document_.database_name).IgnoreError();
}

}  // namespace understudy::backup
