// SPDX-License-Identifier: Apache-2.0
#include "backup/backup_engine.h"

#include <fmt/format.h>

#include "backup/backup_run.h"
#include "backup/describe.h"
#include "backup/full_transfer.h"
#include "backup/increment_backup.h"
#include "backup/ltx_reader.h"
#include "backup/page_hashes.h"

namespace understudy::backup {
namespace {

// A full backup or a copy: all pages, in a snapshot.
class FullBackup final : public BackupRun {
 public:
  using BackupRun::BackupRun;

 private:
  base::Status Store() override;
  base::Status TakeExisting();
  base::Status Transfer();
};

base::Status FullBackup::Store() {
  const uint64_t seq = at_.position.seq.value;
  file_ = {.path = SnapshotFilePath(document_.database_name, seq),
           .bytes = 0,
           .xxh3_128 = "",
           .crc64 = 0,
           .min_txid = 1,
           .max_txid = seq,
           .level = kLtxSnapshotLevel};
  phase_ = Phase::kTransfer;
  RETURN_IF_ERROR(TakeExisting());
  if (reused_) return {};
  phase_ = Phase::kPrepareForBackup;
  RETURN_IF_ERROR(Predict(document_.pages, [](uint32_t i) { return base::PageNo(i + 1); }));
  phase_ = Phase::kTransfer;
  return Transfer();
}

// Two backups at one position share the data file: its name is the position, and LTX wants it once.
base::Status FullBackup::TakeExisting() {
  const std::string path = repository_.FilePath(file_);
  auto found = repository_.store().Open(file_.path);
  if (found.status().code() == base::Code::kNotFound) return base::Status();
  ASSIGN_OR_RETURN(auto opened, std::move(found));
  ASSIGN_OR_RETURN(const uint64_t bytes, opened->Size());
  opened->DropFromCache(0, bytes);
  auto file = LtxFile::Open(std::move(opened), path);
  base::Status status = file.ok() ? file.value()->CheckSnapshot() : file.status();
  if (status.ok() && file.value()->header().page_size == document_.page_size &&
      file.value()->header().commit == document_.pages) {
    hashes_.assign(document_.pages, 0);
    auto sums = ScanSnapshot(
        executor_, *file.value(),
        {.phase = "verifying", .progress = options_.progress, .sink = {}, .hashes = hashes_});
    status = sums.status();
    if (status.ok() && MatchesDocument(hashes_, document_)) {
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
  return Replace(path);
}

base::Status FullBackup::Transfer() {
  RETURN_IF_ERROR(BeginUpload());
  FullTransfer transfer(*upload_, source_, repository_.FilePath(file_), options_.progress,
                        executor_.workers());
  RETURN_IF_ERROR(transfer.Begin(HeaderOf(document_, file_)));
  RETURN_IF_ERROR(transfer.Run(executor_));
  RETURN_IF_ERROR(transfer.Finish());
  hashes_ = transfer.TakeHashes();
  if (!MatchesDocument(hashes_, document_)) {
    return base::Corruption(
        fmt::format("the pages of the copy on {} do not have the database checksum {:016x} of its "
                    "position {}; verify the copy",
                    document_.server, document_.checksum, base::ToString(at_.position)));
  }
  file_.bytes = transfer.bytes();
  file_.crc64 = transfer.file_checksum();
  file_.xxh3_128 = transfer.xxh3_128();
  return {};
}

}  // namespace

BackupResult RunFull(env::Env& env, Executor& executor, const Repository& repository,
                     SnapshotSource& source, const BackupOptions& options) {
  return FullBackup(env, executor, repository, source, options).Run();
}

BackupResult RunBackup(env::Env& env, Executor& executor, const Repository& repository,
                       SnapshotSource& source, const BackupOptions& options) {
  std::string no_base;
  // Archived states are the archive writer's (archive_writer.h).
  if (IsIncrement(options.type) && options.type != BackupType::kLog) {
    IncrementBackup increment(env, executor, repository, source, options);
    BackupResult result = increment.Run();
    if (increment.no_base().ok() || !options.or_full) return result;
    no_base = increment.no_base().message().substr(0, increment.no_base().message().find('\n'));
  } else if (options.type != BackupType::kFull && options.type != BackupType::kCopy) {
    return {.status = base::InvalidArgument(
                fmt::format("a backup of type {} cannot be taken", BackupTypeName(options.type))),
            .code = WriterCode::kNonRetryable};
  }
  BackupOptions whole = options;
  if (!no_base.empty()) whole.type = BackupType::kFull;
  BackupResult result = RunFull(env, executor, repository, source, whole);
  result.instead_of_increment = no_base;
  return result;
}

}  // namespace understudy::backup
