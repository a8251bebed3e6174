// SPDX-License-Identifier: Apache-2.0
#include "backup/file_snapshot_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backup/ltx_reader.h"
#include "backup/page_codec.h"
#include "log/page_table.h"
#include "store/directory_store.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kSqliteMagic("SQLite format 3\0", 16);
constexpr size_t kHeaderBytes = 100;
constexpr size_t kPageSizeAt = 16;

}  // namespace

base::Result<std::unique_ptr<FileSnapshotSource>> FileSnapshotSource::Open(
    env::Env& env, const std::string& path, const SnapshotOrigin& origin, base::Position position) {
  if (env::Exists(env, path + "-wal")) {
    return base::InvalidArgument(
        fmt::format("{} has a -wal file beside it: it is open, or was not closed cleanly", path));
  }
  ASSIGN_OR_RETURN(auto opened, env.Open(path, env::OpenMode::kRead));
  std::unique_ptr<store::ObjectReader> file = store::ReaderOf(std::move(opened));
  ASSIGN_OR_RETURN(const env::FileStat about, env.Stat(path));
  std::array<uint8_t, kHeaderBytes> header{};
  if (!ReadExactly(*file, 0, header).ok() ||
      std::memcmp(header.data(), kSqliteMagic.data(), kSqliteMagic.size()) != 0) {
    return base::InvalidArgument(path + " is not a SQLite database");
  }
  const uint8_t write_version = header[log::kWriteVersionOffset];
  if (write_version != log::kWriteVersionWal && write_version != log::kWriteVersionReadOnly) {
    return base::InvalidArgument(path + " is not in WAL mode");
  }
  log::LogEnd at;
  const uint32_t stored = static_cast<uint32_t>(header[kPageSizeAt]) << 8 | header[kPageSizeAt + 1];
  at.page_size = stored == 1 ? log::kPageSizeMax : stored;
  if (!log::IsPageSize(at.page_size) || about.size % at.page_size != 0) {
    return base::InvalidArgument(
        fmt::format("{}: {} bytes are not whole pages of {}", path, about.size, at.page_size));
  }
  at.pages = static_cast<uint32_t>(about.size / at.page_size);
  at.position = position;
  at.commit_time = about.modified;
  std::unique_ptr<FileSnapshotSource> source(
      new FileSnapshotSource(std::move(file), origin, std::move(at)));
  RETURN_IF_ERROR(source->ComputeChecksum());
  return source;
}

base::Status FileSnapshotSource::ReadPages(base::PageNo first, uint32_t count,
                                           std::span<uint8_t> out) {
  return ReadExactly(*file_, static_cast<uint64_t>(first.value - 1) * at_.page_size,
                     out.first(static_cast<size_t>(count) * at_.page_size));
}

base::Status FileSnapshotSource::ComputeChecksum() {
  const uint32_t chunk = ChunkPages(at_.page_size);
  base::Bytes images(static_cast<size_t>(chunk) * at_.page_size);
  for (uint32_t first = 1; first <= at_.pages; first += chunk) {
    const uint32_t count = std::min(chunk, at_.pages - first + 1);
    RETURN_IF_ERROR(ReadPages(base::PageNo(first), count, images));
    for (uint32_t i = 0; i < count; ++i) {
      hashes_.push_back(log::HashPage(
          base::PageNo(first + i),
          base::ByteView(images).subspan(static_cast<size_t>(i) * at_.page_size, at_.page_size)));
      at_.checksum ^= hashes_.back();
    }
  }
  return base::Status();
}

}  // namespace understudy::backup
