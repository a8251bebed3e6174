// SPDX-License-Identifier: Apache-2.0
#include "sqlite/database_check.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "sqlite/connection.h"
#include "sqlite/wal_file.h"
#include "sqlite/wal_format.h"
#include "sqlite/wal_index.h"

namespace understudy::sqlite {

using base::Result;
using base::Status;

namespace {

constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr size_t kHeaderBytes = 100;
constexpr size_t kPageSizeOffset = 16;
constexpr size_t kWriteVersionOffset = 18;
constexpr size_t kReadVersionOffset = 19;
constexpr uint8_t kVersionJournal = 1;
constexpr uint8_t kVersionWal = 2;
constexpr uint8_t kVersionReadOnlyMark = 3;

Status CheckHeader(const std::string& path, const uint8_t* header) {
  if (std::memcmp(header, kMagic.data(), kMagic.size()) != 0)
    return base::InvalidArgument(
        fmt::format("{} is not an SQLite database (or it is encrypted): it does not begin with "
                    "\"SQLite format 3\"",
                    path));
  const uint32_t stored = base::LoadBe16(header + kPageSizeOffset);
  if (!IsWalPageSize(stored == 1 ? 65536 : stored))
    return base::Corruption(
        fmt::format("{} has an impossible page size of {} in its header: check it with PRAGMA "
                    "integrity_check or restore a backup",
                    path, stored));
  const uint8_t write = header[kWriteVersionOffset];
  if (write < kVersionJournal || write > kVersionReadOnlyMark ||
      header[kReadVersionOffset] < kVersionJournal || header[kReadVersionOffset] > kVersionWal)
    return base::Corruption(fmt::format("{} has unknown format versions {} and {} in its header",
                                        path, write, header[kReadVersionOffset]));
  return Status();
}

Status ExplainBusy(const std::string& path, const Status& status) {
  if (status.code() != base::Code::kBusy) return status.WithContext(path);
  return base::Busy(
      fmt::format("{} is locked by another connection, perhaps with locking_mode=EXCLUSIVE or the "
                  "unix-excl VFS, which cannot be followed: close that connection ({})",
                  path, status.message()));
}

// Brings the database into WAL mode if that is asked for.
Result<bool> EnsureWal(Connection& connection, const CheckOptions& options) {
  Result<std::string> mode = connection.QueryText("PRAGMA journal_mode");
  if (!mode.ok()) return ExplainBusy(connection.path(), mode.status());
  if (*mode == "wal") return false;
  if (!options.set_wal_mode)
    return base::InvalidArgument(fmt::format(
        "{} uses a rollback journal (journal_mode={}), which cannot be followed: run PRAGMA "
        "journal_mode=WAL on it once, or add it with --set-wal",
        connection.path(), *mode));
  mode = connection.QueryText("PRAGMA journal_mode=WAL");
  if (!mode.ok()) return ExplainBusy(connection.path(), mode.status());
  if (*mode != "wal")
    return base::InvalidArgument(
        fmt::format("{} stays in journal mode {}: its file system or VFS does not support WAL",
                    connection.path(), *mode));
  return true;
}

// The mark may be, or may have been taken off, in a frame of the WAL: then SQLite itself is asked.
Result<bool> HasReadOnlyMark(Connection& connection, const WalIndex& index, uint8_t in_file) {
  ASSIGN_OR_RETURN(const WalIndexHeader header, index.AwaitHeader());
  if (header.mx_frame == 0) return in_file == kVersionReadOnlyMark;
  sqlite3_busy_timeout(connection.handle(), 0);
  const int code = sqlite3_exec(connection.handle(), "BEGIN IMMEDIATE", nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) RETURN_IF_ERROR(connection.Execute("ROLLBACK"));
  // SQLITE_BUSY: somebody writes, so it is not marked (or we hold WRITE ourselves, and know).
  return code == SQLITE_READONLY;
}

}  // namespace

Result<DatabaseFacts> CheckDatabase(env::Env& env, const std::string& path,
                                    const CheckOptions& options) {
  ASSIGN_OR_RETURN(const env::FileStat about, env.Stat(path));
  if (about.is_directory)
    return base::InvalidArgument(path + " is a directory, not an SQLite database");
  if (about.size == 0)
    return base::InvalidArgument(path +
                                 " is empty: create the database (its first table) before adding "
                                 "it");
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                   Connection::Open(path, {.busy_timeout = options.busy_timeout, .vfs = ""}));
  KeepWalAtClose(*connection);  // a look must not take away what capture finds its place by
  ASSIGN_OR_RETURN(sqlite3_file* const file, connection->file());
  uint8_t header[kHeaderBytes];
  const int code = file->pMethods->xRead(file, header, sizeof header, 0);
  if (code == SQLITE_IOERR_SHORT_READ)
    return base::InvalidArgument(
        fmt::format("{} is not an SQLite database: it has only {} bytes", path, about.size));
  RETURN_IF_ERROR(ToStatus(code, nullptr, "read the header of " + path));
  RETURN_IF_ERROR(CheckHeader(path, header));

  DatabaseFacts facts{.device = about.device, .inode = about.inode};
  ASSIGN_OR_RETURN(facts.converted_to_wal, EnsureWal(*connection, options));
  const Result<int64_t> schema = connection->QueryInt("SELECT count(*) FROM sqlite_schema");
  if (!schema.ok()) return ExplainBusy(path, schema.status());
  ASSIGN_OR_RETURN(const int64_t page_size, connection->QueryInt("PRAGMA page_size"));
  facts.page_size = static_cast<uint32_t>(page_size);
  const Result<WalIndex> index = WalIndex::Map(*connection);
  if (!index.ok()) return ExplainBusy(path, index.status());
  ASSIGN_OR_RETURN(facts.read_only_mark,
                   HasReadOnlyMark(*connection, *index, header[kWriteVersionOffset]));
  if (facts.read_only_mark && !options.allow_read_only_mark)
    return base::InvalidArgument(
        fmt::format("{} is marked read-only, as passive copies are: it cannot become an active "
                    "copy before the mark is removed",
                    path));
  return facts;
}

}  // namespace understudy::sqlite
