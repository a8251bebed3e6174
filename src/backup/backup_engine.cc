// SPDX-License-Identifier: Apache-2.0
#include "backup/backup_engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/database_checksum.h"
#include "backup/full_transfer.h"
#include "backup/ltx_reader.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMethodReadBack =
    "read back from disk after sync: every page, file checksum, database checksum";
// Pages that are compressed to predict the size, evenly spread.
constexpr uint32_t kSamplePages = 64;

std::string Mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

// One backup, from its first check to its document.
class FullBackup {
 public:
  FullBackup(env::Env& env, Executor& executor, const Repository& repository,
             SnapshotSource& source, const BackupOptions& options)
      : env_(env),
        executor_(executor),
        repository_(repository),
        source_(source),
        options_(options),
        at_(source.at()) {}

  BackupResult Run() {
    began_ = env_.Now();
    base::Status status = RunSteps();
    if (!status.ok()) {
      CleanUp();
      const std::string context =
          fmt::format("backup of {} into {}", document_.database_name, repository_.path());
      status = status.WithContext(context);
    }
    BackupResult result{.status = status, .document = document_, .phase = phase_};
    result.state = status.ok() ? WriterState::kStable : FailedStateOf(phase_);
    result.code = WriterCodeOf(status);
    return result;
  }

 private:
  base::Status RunSteps() {
    phase_ = Phase::kPrepareForBackup;
    RETURN_IF_ERROR(Describe());
    const std::string& name = document_.database_name;
    RETURN_IF_ERROR(repository_.PrepareDatabase(name, document_.database));
    ASSIGN_OR_RETURN(lock_, repository_.LockDatabase(name));
    // Again, now that nobody else can be at it.
    RETURN_IF_ERROR(repository_.PrepareDatabase(name, document_.database));
    RETURN_IF_ERROR(repository_.RemoveLeftovers(name));
    phase_ = Phase::kTransfer;
    RETURN_IF_ERROR(TakeExisting());
    if (!reused_) {
      phase_ = Phase::kPrepareForBackup;
      RETURN_IF_ERROR(CheckSpace());
      phase_ = Phase::kTransfer;
      RETURN_IF_ERROR(Transfer());
    }
    phase_ = Phase::kBackupComplete;
    RETURN_IF_ERROR(Publish());
    return base::Status();
  }

  base::Status Describe();
  base::Status TakeExisting();
  base::Status CheckSpace();
  base::Status Transfer();
  base::Status Publish();
  void CleanUp();

  env::Env& env_;
  Executor& executor_;
  const Repository& repository_;
  SnapshotSource& source_;
  const BackupOptions& options_;
  const log::LogEnd at_;

  Phase phase_ = Phase::kIdentify;
  base::SteadyTime began_;
  BackupDocument document_;
  BackupFile file_;
  bool reused_ = false;   // the data file is there already
  bool replace_ = false;  // a file of that name is there, damaged or of no backup
  std::unique_ptr<env::FileLock> lock_;
};

base::Status FullBackup::Describe() {
  const SnapshotOrigin origin = source_.origin();
  document_.type = options_.type;
  document_.started = env_.WallNow();
  document_.id = options_.id.empty()
                     ? MakeBackupId(document_.started, document_.type, env_.Random())
                     : options_.id;
  document_.software = options_.software;
  document_.database_name = origin.database_name;
  document_.database = origin.database;
  document_.server = origin.server;
  document_.role = origin.role;
  document_.position = at_.position;
  document_.commit_time = at_.commit_time;
  document_.page_size = source_.page_size();
  document_.pages = source_.pages();
  document_.checksum = at_.checksum;
  document_.bytes_pages = static_cast<uint64_t>(source_.pages()) * source_.page_size();
  RETURN_IF_ERROR(base::CheckName("database name", origin.database_name));
  if (!log::IsPageSize(document_.page_size) || document_.pages == 0) {
    return base::InvalidArgument(fmt::format("{} pages of {} bytes are not a database",
                                             document_.pages, document_.page_size));
  }
  if (at_.position.seq.value == 0) {
    return base::InvalidArgument("it has no position in the log yet; wait for its first record");
  }
  const uint64_t seq = at_.position.seq.value;
  file_ = {.path = SnapshotFilePath(origin.database_name, seq),
           .bytes = 0,
           .xxh3_128 = "",
           .crc64 = 0,
           .min_txid = 1,
           .max_txid = seq,
           .level = kLtxSnapshotLevel};
  return base::Status();
}

// Two backups at one position share the data file: its name is the position, and LTX wants it once.
base::Status FullBackup::TakeExisting() {
  const std::string path = repository_.FilePath(file_);
  if (!env::Exists(env_, path)) return base::Status();
  ASSIGN_OR_RETURN(const BackupList list, repository_.List(document_.database_name));
  for (const BackupDocument& other : list.backups) {
    if (other.files.front().path != file_.path) continue;
    if (other.checksum != document_.checksum || other.pages != document_.pages) {
      return base::Diverged(fmt::format(
          "backup {} has other content at the same seq {} (its term is {}, this one's is {}); use "
          "another repository for this history",
          other.id, at_.position.seq.value, other.position.term.value, at_.position.term.value));
    }
  }

  ASSIGN_OR_RETURN(auto opened, env_.Open(path, env::OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t bytes, opened->Size());
  opened->DropFromCache(0, bytes);
  auto file = LtxFile::Open(std::move(opened), path);
  base::Status status = file.ok() ? file.value()->CheckSnapshot() : file.status();
  if (status.ok() && file.value()->header().page_size == document_.page_size &&
      file.value()->header().commit == document_.pages) {
    auto sums = ScanSnapshot(executor_, *file.value(),
                             {.phase = "verifying", .progress = options_.progress, .sink = {}});
    status = sums.status();
    if (status.ok() && MatchesDatabaseChecksum(sums->database_checksum, document_.page_size,
                                               document_.pages, document_.checksum)) {
      file_.bytes = bytes;
      file_.crc64 = file.value()->file_checksum();
      file_.xxh3_128 = sums->xxh3_128;
      file_.reused = true;
      reused_ = true;
      return base::Status();
    }
  }
  if (!status.ok() && status.code() != base::Code::kCorruption &&
      status.code() != base::Code::kInvalidArgument) {
    return status;
  }
  if (!list.unreadable.empty()) {
    return base::AlreadyExists(
        fmt::format("{} exists and {} cannot be read ({}), so it is not known whether the file may "
                    "be replaced; repair or remove that document",
                    path, list.unreadable.front().path, list.unreadable.front().status.message()));
  }
  replace_ = true;
  return base::Status();
}

base::Status FullBackup::CheckSpace() {
  const uint32_t page_size = document_.page_size;
  const uint32_t samples = std::min(kSamplePages, document_.pages);
  PageEncoder encoder;
  EncodedChunk chunk;
  base::Bytes page(page_size);
  uint64_t stored = 0;
  for (uint64_t i = 0; i < samples; ++i) {
    const base::PageNo number{static_cast<uint32_t>(i * document_.pages / samples + 1)};
    RETURN_IF_ERROR(source_.ReadPages(number, 1, page));
    encoder.Encode(number, page_size, page, chunk);
    stored += chunk.bytes;
  }
  const uint64_t needed = stored * document_.pages / samples;
  ASSIGN_OR_RETURN(const env::Space space, env_.FreeSpace(repository_.path()));
  if (space.free >= needed) return base::Status();
  return base::NoSpace(
      fmt::format("it needs about {} ({} of pages, of which {} sampled shrink to {} %), and {} are "
                  "free there; free some or choose another repository",
                  Mib(needed), Mib(document_.bytes_pages), samples,
                  stored * 100 / (static_cast<uint64_t>(samples) * page_size), Mib(space.free)));
}

base::Status FullBackup::Transfer() {
  const std::string partial = repository_.PartialPath(document_.database_name, document_.id);
  FullTransfer transfer(env_, source_, partial, options_.progress, executor_.workers());
  const LtxHeader header{.page_size = document_.page_size,
                         .commit = document_.pages,
                         .min_txid = file_.min_txid,
                         .max_txid = file_.max_txid,
                         .timestamp_ms = std::max<int64_t>(document_.commit_time.unix_ms, 0)};
  RETURN_IF_ERROR(transfer.Begin(header));
  RETURN_IF_ERROR(transfer.Run(executor_));
  RETURN_IF_ERROR(transfer.Finish());
  if (!MatchesDatabaseChecksum(transfer.database_checksum(), document_.page_size, document_.pages,
                               document_.checksum)) {
    return base::Corruption(
        fmt::format("the pages of the copy on {} do not have the database checksum {:016x} of its "
                    "position {}; verify the copy",
                    document_.server, document_.checksum, base::ToString(at_.position)));
  }
  file_.bytes = transfer.bytes();
  file_.crc64 = transfer.file_checksum();
  file_.xxh3_128 = transfer.xxh3_128();
  // Litestream takes the time of a file from here; the rename after it makes it durable.
  return env_.SetModified(partial, {header.timestamp_ms});
}

base::Status FullBackup::Publish() {
  const std::string& name = document_.database_name;
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(env_.Now() - began_);
  document_.files = {file_};
  document_.bytes_stored = file_.bytes;
  document_.completed = env_.WallNow();
  document_.duration_ms = static_cast<uint64_t>(std::max<int64_t>(elapsed.count(), 0));
  document_.bytes_per_second =
      document_.bytes_pages * 1000 / std::max<uint64_t>(document_.duration_ms, 1);
  document_.phase = Phase::kBackupComplete;
  document_.verification = {.state = VerificationState::kGood,
                            .at = document_.completed,
                            .method = std::string(kMethodReadBack),
                            .message = ""};

  const std::string pending = repository_.PendingPath(name, document_.id);
  const std::string listed = repository_.DocumentPath(name, document_.id);
  RETURN_IF_ERROR(env::WriteFileAtomically(env_, pending, base::AsBytes(ToJson(document_))));
  if (!reused_) {
    const std::string partial = repository_.PartialPath(name, document_.id);
    const std::string published = repository_.FilePath(file_);
    RETURN_IF_ERROR(replace_ ? env_.Rename(partial, published)
                             : env_.RenameNew(partial, published));
    RETURN_IF_ERROR(env_.SyncDirectory(env::DirectoryOf(published)));
  }
  // The commit point.
  RETURN_IF_ERROR(env_.RenameNew(pending, listed));
  base::Status synced = env_.SyncDirectory(env::DirectoryOf(listed));
  // Not known to be durable, so it was no backup: as a pending one, CleanUp takes it away.
  if (!synced.ok()) env_.Rename(listed, pending).IgnoreError();
  return synced;
}

void FullBackup::CleanUp() {
  // Best effort: what cannot be removed now, the next backup removes.
  if (lock_ != nullptr) repository_.RemoveLeftovers(document_.database_name).IgnoreError();
}

}  // namespace

BackupResult RunFull(env::Env& env, Executor& executor, const Repository& repository,
                     SnapshotSource& source, const BackupOptions& options) {
  return FullBackup(env, executor, repository, source, options).Run();
}

}  // namespace understudy::backup
