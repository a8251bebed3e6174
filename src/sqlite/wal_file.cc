// SPDX-License-Identifier: Apache-2.0
#include "sqlite/wal_file.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>

namespace understudy::sqlite {

using base::Result;
using base::Status;

namespace {
// SQLite's VFS takes an int; larger reads are cut.
constexpr size_t kReadBytesMax = 64 << 20;
}  // namespace

Result<WalFile> WalFile::Of(Connection& connection) {
  sqlite3_file* file = nullptr;
  const int code =
      sqlite3_file_control(connection.handle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
  RETURN_IF_ERROR(ToStatus(code, connection.handle(), "WAL file handle of " + connection.path()));
  if (file == nullptr || file->pMethods == nullptr)
    return base::NotFound(connection.path() + " has no open -wal file");
  return WalFile(file);
}

Result<bool> WalFile::Read(uint64_t offset, std::span<uint8_t> out) const {
  while (!out.empty()) {
    const size_t part = std::min(out.size(), kReadBytesMax);
    const int code = file_->pMethods->xRead(file_, out.data(), static_cast<int>(part),
                                            static_cast<sqlite3_int64>(offset));
    if (code == SQLITE_IOERR_SHORT_READ) return false;
    RETURN_IF_ERROR(
        ToStatus(code, nullptr, fmt::format("read {} bytes at {} of a -wal file", part, offset)));
    out = out.subspan(part);
    offset += part;
  }
  return true;
}

Result<std::optional<WalHeader>> WalFile::ReadHeader() const {
  uint8_t bytes[kWalHeaderBytes];
  ASSIGN_OR_RETURN(const bool there, Read(0, bytes));
  if (!there) return std::optional<WalHeader>();
  return ParseWalHeader(bytes);
}

Result<bool> WalFile::ReadFrames(uint64_t first, uint32_t page_size, std::span<uint8_t> out) const {
  return Read(WalFrameOffset(first, page_size), out);
}

Result<bool> WalFile::ReadPage(uint64_t frame, uint32_t page_size, std::span<uint8_t> out) const {
  return Read(WalFrameOffset(frame, page_size) + kWalFrameHeaderBytes, out.first(page_size));
}

Result<uint64_t> WalFile::Size() const {
  sqlite3_int64 size = 0;
  RETURN_IF_ERROR(
      ToStatus(file_->pMethods->xFileSize(file_, &size), nullptr, "size of a -wal file"));
  return static_cast<uint64_t>(size);
}

Status WalFile::Sync() const {
  return ToStatus(file_->pMethods->xSync(file_, SQLITE_SYNC_NORMAL), nullptr, "sync a -wal file");
}

void KeepWalAtClose(Connection& connection) {
  sqlite3_db_config(connection.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

Status ReadDatabaseFile(sqlite3_file* file, base::PageNo first, uint32_t page_size,
                        std::span<uint8_t> out) {
  uint64_t offset = uint64_t{first.value - 1} * page_size;
  while (!out.empty()) {
    const size_t part = std::min(out.size(), kReadBytesMax);
    const int code = file->pMethods->xRead(file, out.data(), static_cast<int>(part),
                                           static_cast<sqlite3_int64>(offset));
    // A short read has filled the rest with zeros.
    if (code != SQLITE_IOERR_SHORT_READ)
      RETURN_IF_ERROR(
          ToStatus(code, nullptr, fmt::format("read pages from {} of a database", first.value)));
    out = out.subspan(part);
    offset += part;
  }
  return Status();
}

}  // namespace understudy::sqlite
