// SPDX-License-Identifier: Apache-2.0
#include "sqlite/raw_pages.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>

#include "sqlite/wal_file.h"
#include "sqlite/wal_format.h"

namespace understudy::sqlite {
namespace {

constexpr size_t kHeaderBytes = 100;
constexpr size_t kPageSizeOffset = 16;

}  // namespace

base::Result<std::unique_ptr<RawPages>> RawPages::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Connection::Open(path, {}));
  KeepWalAtClose(*connection);
  ASSIGN_OR_RETURN(sqlite3_file* const file, connection->file());
  std::unique_ptr<RawPages> raw(new RawPages(std::move(connection), file));
  sqlite3_int64 size = 0;
  RETURN_IF_ERROR(ToStatus(file->pMethods->xFileSize(file, &size), nullptr, "size of " + path));
  std::array<uint8_t, kHeaderBytes> header{};
  if (size >= static_cast<sqlite3_int64>(header.size())) {
    RETURN_IF_ERROR(ToStatus(file->pMethods->xRead(file, header.data(), header.size(), 0), nullptr,
                             "read " + path));
  }
  const uint32_t stored = base::LoadBe16(&header[kPageSizeOffset]);
  raw->page_size_ = stored == 1 ? 65536 : stored;
  if (!IsWalPageSize(raw->page_size_)) {
    return base::Corruption(
        fmt::format("{} ({} bytes) tells no page size in its header", path, size));
  }
  raw->pages_ = static_cast<uint32_t>(
      std::min<uint64_t>(static_cast<uint64_t>(size) / raw->page_size_, UINT32_MAX));
  return raw;
}

base::Status RawPages::ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) {
  CHECK(first.value >= 1 && uint64_t{first.value} + count - 1 <= pages_);
  CHECK(out.size() == size_t{count} * page_size_);
  return ReadDatabaseFile(file_, first, page_size_, out);
}

}  // namespace understudy::sqlite
