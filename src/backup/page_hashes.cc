// SPDX-License-Identifier: Apache-2.0
#include "backup/page_hashes.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "backup/database_checksum.h"
#include "backup/ltx_format.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMagic = "ustypage";
constexpr uint32_t kVersion = 1;

// Where the fields are; all little-endian.
constexpr size_t kVersionAt = 8;
constexpr size_t kPageSizeAt = 12;
constexpr size_t kSeqAt = 16;
constexpr size_t kPagesAt = 24;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kSumBytes = 8;

uint64_t FileBytes(uint32_t pages) {
  return kHeaderBytes + uint64_t{pages} * sizeof(uint64_t) + kSumBytes;
}

base::Bytes Header(const BackupDocument& document) {
  base::Bytes header(kHeaderBytes);
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  base::StoreLe(header.data() + kVersionAt, kVersion);
  base::StoreLe(header.data() + kPageSizeAt, document.page_size);
  base::StoreLe(header.data() + kSeqAt, document.position.seq.value);
  base::StoreLe(header.data() + kPagesAt, uint64_t{document.pages});
  return header;
}

uint64_t SumOf(const base::Bytes& file, size_t bytes) { return XXH3_64bits(file.data(), bytes); }

}  // namespace

base::Status WritePageHashes(const Repository& repository, const BackupDocument& document,
                             const std::vector<uint64_t>& hashes) {
  base::Bytes file = Header(document);
  file.reserve(FileBytes(document.pages));
  for (const uint64_t hash : hashes) base::AppendLe(file, hash);
  base::AppendLe(file, SumOf(file, file.size()));
  return repository.store().Put(
      repository.PageHashesKey(document.database_name, document.position.seq.value), file,
      store::PutMode::kReplace);
}

base::Result<std::vector<uint64_t>> ReadPageHashes(const Repository& repository,
                                                   const BackupDocument& document) {
  const std::string key =
      repository.PageHashesKey(document.database_name, document.position.seq.value);
  const std::string path = repository.store().NameOf(key);
  const uint64_t expected = FileBytes(document.pages);
  ASSIGN_OR_RETURN(const store::ObjectInfo about, repository.store().Stat(key));
  if (about.bytes != expected) {
    return base::Corruption(
        fmt::format("{} has {} bytes instead of {}", path, about.bytes, expected));
  }
  ASSIGN_OR_RETURN(const base::Bytes file, store::Get(repository.store(), key, expected));
  const base::Bytes header = Header(document);
  const size_t sum_at = file.size() - std::min(file.size(), kSumBytes);
  std::vector<uint64_t> hashes(document.pages);
  if (file.size() == expected && std::equal(header.begin(), header.end(), file.begin()) &&
      base::LoadLe<uint64_t>(file.data() + sum_at) == SumOf(file, sum_at)) {
    for (size_t i = 0; i < hashes.size(); ++i) {
      hashes[i] = base::LoadLe<uint64_t>(file.data() + kHeaderBytes + i * sizeof(uint64_t));
    }
    if (MatchesDocument(hashes, document)) return hashes;
  }
  return base::Corruption(
      fmt::format("{} is damaged, or not that of backup {}", path, document.id));
}

bool MatchesDocument(const std::vector<uint64_t>& hashes, const BackupDocument& document) {
  if (hashes.size() != document.pages) return false;
  uint64_t checksum = 0;
  for (const uint64_t hash : hashes) checksum ^= hash;
  const uint32_t lock_page = LockPage(document.page_size);
  // Read from the copy the lock page has a hash, from an LTX file it has none: both are right.
  if (hashes.size() >= lock_page) checksum ^= hashes[lock_page - 1];
  return MatchesDatabaseChecksum(checksum, document.page_size, document.pages, document.checksum);
}

}  // namespace understudy::backup
