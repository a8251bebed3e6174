// SPDX-License-Identifier: Apache-2.0
#include "backup/stored_snapshot.h"

#include <fmt/format.h>

#include "backup/database_checksum.h"

namespace understudy::backup {

base::Result<std::unique_ptr<LtxFile>> OpenStoredSnapshot(env::Env& env,
                                                          const Repository& repository,
                                                          const BackupDocument& document,
                                                          bool from_disk) {
  if (document.type != BackupType::kFull || document.files.size() != 1) {
    return base::InvalidArgument(
        fmt::format("backup {} is of type {} with {} files, which this "
                    "version cannot read",
                    document.id, BackupTypeName(document.type), document.files.size()));
  }
  const BackupFile& expected = document.files.front();
  const std::string path = repository.FilePath(expected);
  auto opened = env.Open(path, env::OpenMode::kRead);
  if (opened.status().code() == base::Code::kNotFound) {
    return base::Corruption(fmt::format("backup {}: its file {} is gone", document.id, path));
  }
  RETURN_IF_ERROR(opened.status());
  if (from_disk) opened.value()->DropFromCache(0, expected.bytes);
  ASSIGN_OR_RETURN(auto file, LtxFile::Open(std::move(*opened), path));
  const LtxHeader& header = file->header();
  if (file->bytes() != expected.bytes || file->file_checksum() != expected.crc64 ||
      header.page_size != document.page_size || header.commit != document.pages ||
      header.min_txid != expected.min_txid || header.max_txid != expected.max_txid) {
    return base::Corruption(
        fmt::format("{}: it is not the file that backup {} wrote", path, document.id));
  }
  RETURN_IF_ERROR(file->CheckSnapshot());
  return file;
}

base::Status ScanStoredSnapshot(Executor& executor, const LtxFile& file,
                                const BackupDocument& document, const ScanOptions& options) {
  ASSIGN_OR_RETURN(const SnapshotSums sums, ScanSnapshot(executor, file, options));
  if (sums.xxh3_128 != document.files.front().xxh3_128) {
    return base::Corruption(fmt::format("{}: its hash is {} instead of {}", file.name(),
                                        sums.xxh3_128, document.files.front().xxh3_128));
  }
  if (!MatchesDatabaseChecksum(sums.database_checksum, document.page_size, document.pages,
                               document.checksum)) {
    return base::Corruption(fmt::format("{}: database checksum {:016x} instead of {:016x}",
                                        file.name(), sums.database_checksum, document.checksum));
  }
  return base::Status();
}

}  // namespace understudy::backup
