// SPDX-License-Identifier: Apache-2.0
#include "sqlite/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <utility>

namespace understudy::sqlite {

using base::Result;
using base::Status;

Status ToStatus(int code, sqlite3* handle, std::string_view context) {
  const int primary = code & 0xff;
  if (primary == SQLITE_OK || primary == SQLITE_ROW || primary == SQLITE_DONE) return Status();
  const char* text = handle != nullptr && sqlite3_errcode(handle) != SQLITE_OK
                         ? sqlite3_errmsg(handle)
                         : sqlite3_errstr(code);
  std::string message = fmt::format("{}: {} (SQLite code {})", context, text, code);
  switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return base::Busy(std::move(message));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return base::Corruption(std::move(message));
    case SQLITE_FULL: return base::NoSpace(std::move(message));
    case SQLITE_CANTOPEN: return base::NotFound(std::move(message));
    default: return base::IoError(std::move(message));
  }
}

Statement::Statement(Statement&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(statement_, other.statement_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(int parameter, int64_t value) {
  CHECK(sqlite3_bind_int64(statement_, parameter, value) == SQLITE_OK);
  return *this;
}
Statement& Statement::Bind(int parameter, std::string_view text) {
  CHECK(sqlite3_bind_text64(statement_, parameter, text.data() == nullptr ? "" : text.data(),
                            text.size(), SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}
Statement& Statement::BindBlob(int parameter, base::ByteView bytes) {
  const int code = bytes.empty() ? sqlite3_bind_zeroblob(statement_, parameter, 0)
                                 : sqlite3_bind_blob64(statement_, parameter, bytes.data(),
                                                       bytes.size(), SQLITE_TRANSIENT);
  CHECK(code == SQLITE_OK);
  return *this;
}
Statement& Statement::BindNull(int parameter) {
  CHECK(sqlite3_bind_null(statement_, parameter) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  const Status status = ToStatus(code, handle_, sqlite3_sql(statement_));
  sqlite3_reset(statement_);
  if (!status.ok()) return status;
  return false;
}

Status Statement::Run() {
  for (;;) {  // bounded by the statement's own number of rows
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return Status();
  }
}

void Statement::Reset() { sqlite3_reset(statement_); }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }
std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text == nullptr
             ? std::string()
             : std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}
base::ByteView Statement::Blob(int column) const {
  const auto* bytes = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
  return {bytes,
          bytes == nullptr ? 0 : static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}
bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Result<std::unique_ptr<Connection>> Connection::Open(const std::string& path,
                                                     const Options& options) {
  sqlite3* handle = nullptr;
  int flags = options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (options.create && !options.read_only) flags |= SQLITE_OPEN_CREATE;
  flags |= SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags,
                                   options.vfs.empty() ? nullptr : options.vfs.c_str());
  std::unique_ptr<Connection> connection(new Connection(handle, path));
  RETURN_IF_ERROR(ToStatus(code, handle, "open " + path));
  sqlite3_busy_timeout(
      handle,
      static_cast<int>(
          std::chrono::duration_cast<std::chrono::milliseconds>(options.busy_timeout).count()));
  sqlite3_wal_autocheckpoint(handle, 0);
  return connection;
}

Connection::~Connection() { sqlite3_close_v2(handle_); }

Status Connection::Execute(const std::string& sql) {
  return ToStatus(sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr), handle_, sql);
}

Result<Statement> Connection::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  RETURN_IF_ERROR(ToStatus(code, handle_, sql));
  return Statement(handle_, statement);
}

Result<int64_t> Connection::QueryInt(const std::string& sql) {
  ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return base::NotFound(sql + ": no row");
  return statement.Int(0);
}

Result<std::string> Connection::QueryText(const std::string& sql) {
  ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return base::NotFound(sql + ": no row");
  return statement.Text(0);
}

Result<Connection::CheckpointResult> Connection::Checkpoint(std::string_view mode) {
  int how = SQLITE_CHECKPOINT_PASSIVE;
  if (mode == "FULL") how = SQLITE_CHECKPOINT_FULL;
  if (mode == "RESTART") how = SQLITE_CHECKPOINT_RESTART;
  if (mode == "TRUNCATE") how = SQLITE_CHECKPOINT_TRUNCATE;
  CheckpointResult result;
  const int code =
      sqlite3_wal_checkpoint_v2(handle_, "main", how, &result.log_frames, &result.backfilled);
  RETURN_IF_ERROR(ToStatus(code, handle_, fmt::format("{} checkpoint of {}", mode, path_)));
  return result;
}

bool Connection::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

Result<sqlite3_file*> Connection::file() {
  sqlite3_file* file = nullptr;
  const int code = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  RETURN_IF_ERROR(ToStatus(code, handle_, "file handle of " + path_));
  if (file == nullptr || file->pMethods == nullptr)
    return base::IoError(path_ + " has no open file");
  return file;
}

}  // namespace understudy::sqlite
