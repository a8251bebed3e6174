// SPDX-License-Identifier: Apache-2.0
#include "backup/stored_chain.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/page_hashes.h"

namespace understudy::backup {
namespace {

base::Result<std::unique_ptr<LtxFile>> OpenFile(const Repository& repository,
                                                const BackupDocument& document, bool from_disk) {
  if (document.files.size() != 1) {
    return base::InvalidArgument(
        fmt::format("backup {} is of type {} with {} files, which this version cannot read",
                    document.id, BackupTypeName(document.type), document.files.size()));
  }
  const BackupFile& expected = document.files.front();
  const std::string path = repository.FilePath(expected);
  auto opened = repository.store().Open(expected.path);
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
  RETURN_IF_ERROR(IsIncrement(document.type) ? file->CheckIncrement() : file->CheckSnapshot());
  return file;
}

}  // namespace

base::Result<std::unique_ptr<StoredChain>> StoredChain::Open(const Repository& repository,
                                                             BackupChain chain, bool from_disk) {
  std::unique_ptr<StoredChain> stored(new StoredChain(std::move(chain)));
  for (const BackupDocument& document : stored->chain_) {
    std::unique_ptr<LtxFile> file;
    if (!IsIncrement(document.type) || !document.files.empty()) {
      ASSIGN_OR_RETURN(file, OpenFile(repository, document, from_disk));
    }
    stored->files_.push_back(std::move(file));
  }
  return stored;
}

uint32_t StoredChain::pages_max() const {
  uint32_t pages = 0;
  for (const BackupDocument& document : chain_) pages = std::max(pages, document.pages);
  return pages;
}

uint64_t StoredChain::BytesOf(const LtxFile& file) const {
  const LtxHeader& header = file.header();
  return (header.snapshot() ? header.commit : file.frames().size()) * uint64_t{header.page_size};
}

base::Status StoredChain::Scan(Executor& executor, const ScanOptions& options) {
  uint64_t total = 0;
  for (const auto& file : files_) total += file == nullptr ? 0 : BytesOf(*file);
  uint64_t done = 0;
  ScanOptions each{.phase = options.phase, .progress = {}, .sink = options.sink};
  if (options.progress) {
    each.progress = [&](const base::Progress& progress) {
      return options.progress(
          {.phase = options.phase, .bytes_done = done + progress.bytes_done, .bytes_total = total});
    };
  }
  for (size_t i = 0; i < chain_.size(); ++i) {
    if (files_[i] == nullptr) continue;
    RETURN_IF_ERROR(ScanOne(executor, i, each));
    done += BytesOf(*files_[i]);
  }
  return {};
}

base::Status StoredChain::ScanOne(Executor& executor, size_t i, const ScanOptions& options) {
  const LtxFile& file = *files_[i];
  const BackupDocument& document = chain_[i];
  std::string xxh3_128;
  if (file.header().snapshot()) {
    hashes_.assign(file.header().commit, 0);
    ScanOptions whole = options;
    whole.hashes = hashes_;
    ASSIGN_OR_RETURN(const SnapshotSums sums, ScanSnapshot(executor, file, whole));
    xxh3_128 = sums.xxh3_128;
  } else {
    ASSIGN_OR_RETURN(xxh3_128, ScanIncrement(file, options, hashes_));
  }
  if (xxh3_128 != document.files.front().xxh3_128) {
    return base::Corruption(fmt::format("{}: its hash is {} instead of {}", file.name(), xxh3_128,
                                        document.files.front().xxh3_128));
  }
  if (!MatchesDocument(hashes_, document)) {
    return base::Corruption(fmt::format("{}: the database checksum after it is not {:016x}",
                                        file.name(), document.checksum));
  }
  return {};
}

base::Result<std::vector<uint64_t>> PageHashesOf(Executor& executor, const Repository& repository,
                                                 const BackupList& list,
                                                 const BackupDocument& document) {
  auto hashes = ReadPageHashes(repository, document);
  const base::Code code = hashes.status().code();
  if (hashes.ok() || (code != base::Code::kNotFound && code != base::Code::kCorruption)) {
    return hashes;
  }
  ASSIGN_OR_RETURN(BackupChain chain, ChainOf(list, document));
  ASSIGN_OR_RETURN(const auto stored,
                   StoredChain::Open(repository, std::move(chain), /*from_disk=*/false));
  RETURN_IF_ERROR(stored->Scan(executor, {.phase = "comparing", .progress = {}, .sink = {}}));
  return stored->TakeHashes();
}

}  // namespace understudy::backup
