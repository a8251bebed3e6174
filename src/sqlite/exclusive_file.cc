// SPDX-License-Identifier: Apache-2.0
#include "sqlite/exclusive_file.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>

namespace understudy::sqlite {
namespace {

// SQLite's calls take an int.
constexpr size_t kPieceBytes = 1 << 30;

}  // namespace

base::Result<std::unique_ptr<ExclusiveFile>> ExclusiveFile::Open(const std::string& path,
                                                                 const std::string& vfs) {
  Connection::Options options;
  options.vfs = vfs;
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Connection::Open(path, options));
  // Opened for reading only when writing is not allowed; SQLite says so at the first write.
  if (sqlite3_db_readonly(connection->handle(), "main") == 1) {
    return base::IoError(path + " cannot be written by this user");
  }
  ASSIGN_OR_RETURN(sqlite3_file* const file, connection->file());
  for (const int level : {SQLITE_LOCK_SHARED, SQLITE_LOCK_RESERVED, SQLITE_LOCK_EXCLUSIVE}) {
    const int code = file->pMethods->xLock(file, level);
    if (code == SQLITE_BUSY) {
      return base::Busy(fmt::format(
          "{} is in use: another process has it open; stop it, or choose another file", path));
    }
    RETURN_IF_ERROR(ToStatus(code, nullptr, "lock " + path));
  }
  return std::unique_ptr<ExclusiveFile>(new ExclusiveFile(std::move(connection), file));
}

base::Result<uint64_t> ExclusiveFile::Size() {
  sqlite3_int64 size = 0;
  RETURN_IF_ERROR(ToStatus(file_->pMethods->xFileSize(file_, &size), nullptr,
                           "size of " + connection_->path()));
  return static_cast<uint64_t>(size);
}

base::Status ExclusiveFile::ReadAt(uint64_t offset, std::span<uint8_t> out) {
  while (!out.empty()) {
    const size_t bytes = std::min(out.size(), kPieceBytes);
    const int code = file_->pMethods->xRead(file_, out.data(), static_cast<int>(bytes),
                                            static_cast<sqlite3_int64>(offset));
    if (code != SQLITE_IOERR_SHORT_READ) {  // which has filled the rest with zeros
      RETURN_IF_ERROR(ToStatus(code, nullptr, "read " + connection_->path()));
    }
    out = out.subspan(bytes);
    offset += bytes;
  }
  return {};
}

base::Status ExclusiveFile::WriteAt(uint64_t offset, base::ByteView bytes) {
  while (!bytes.empty()) {
    const size_t some = std::min(bytes.size(), kPieceBytes);
    RETURN_IF_ERROR(ToStatus(file_->pMethods->xWrite(file_, bytes.data(), static_cast<int>(some),
                                                     static_cast<sqlite3_int64>(offset)),
                             nullptr, "write " + connection_->path()));
    bytes = bytes.subspan(some);
    offset += some;
  }
  return {};
}

base::Status ExclusiveFile::Truncate(uint64_t size) {
  return ToStatus(file_->pMethods->xTruncate(file_, static_cast<sqlite3_int64>(size)), nullptr,
                  "truncate " + connection_->path());
}

base::Status ExclusiveFile::Sync() {
  return ToStatus(file_->pMethods->xSync(file_, SQLITE_SYNC_NORMAL), nullptr,
                  "sync " + connection_->path());
}

}  // namespace understudy::sqlite
