// SPDX-License-Identifier: Apache-2.0
// Connection and Statement: RAII over the SQLite C API. Only src/sqlite/ includes sqlite3.h.
//
// A Connection never checkpoints by itself (wal_autocheckpoint 0) and never waits for locks unless
// busy_timeout says so: callers decide. Note the trap of POSIX locks: closing *any* descriptor of a
// database or its -shm in this process that SQLite does not know of drops the locks of all
// Connections to it. Use SQLite's own handle (file()) for raw reads. Errors: kBusy for SQLITE_BUSY
// and SQLITE_LOCKED, kCorruption for SQLITE_CORRUPT and SQLITE_NOTADB, kNoSpace for SQLITE_FULL,
// kNotFound for SQLITE_CANTOPEN, kIoError for others; messages carry SQLite's text. Threading:
// thread-compatible (a Connection is used by one thread at a time).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "base/time.h"

struct sqlite3;
struct sqlite3_stmt;
struct sqlite3_file;

namespace understudy::sqlite {

// Turns an SQLite result code and the connection's message (may be null) into a Status; ok for
// SQLITE_OK, SQLITE_ROW and SQLITE_DONE.
base::Status ToStatus(int code, sqlite3* handle, std::string_view context);

class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Parameters count from 1. Text and blobs are copied.
  Statement& Bind(int parameter, int64_t value);
  Statement& Bind(int parameter, std::string_view text);
  Statement& BindBlob(int parameter, base::ByteView bytes);
  Statement& BindNull(int parameter);

  // True: a row is there. False: done; the statement is reset and can be run again.
  base::Result<bool> Step();
  // Runs to the end and resets.
  base::Status Run();
  void Reset();

  // Columns count from 0. REQUIRES: the last Step returned true. Views last until the next Step.
  int64_t Int(int column) const;
  std::string Text(int column) const;
  base::ByteView Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Connection;
  Statement(sqlite3* handle, sqlite3_stmt* statement) : handle_(handle), statement_(statement) {}
  sqlite3* handle_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

class Connection {
 public:
  struct Options {
    bool create = false;
    bool read_only = false;
    base::Duration busy_timeout{0};
    std::string vfs = {};  // empty: the default one
  };
  static base::Result<std::unique_ptr<Connection>> Open(const std::string& path,
                                                        const Options& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  base::Status Execute(const std::string& sql);
  base::Result<Statement> Prepare(std::string_view sql);
  // The first column of the first row; kNotFound when there is no row.
  base::Result<int64_t> QueryInt(const std::string& sql);
  base::Result<std::string> QueryText(const std::string& sql);

  // PASSIVE, FULL, RESTART or TRUNCATE. kBusy when it could not be completed.
  struct CheckpointResult {
    int log_frames = -1;
    int backfilled = -1;
  };
  base::Result<CheckpointResult> Checkpoint(std::string_view mode);

  bool in_transaction() const;
  const std::string& path() const { return path_; }
  sqlite3* handle() { return handle_; }
  // SQLite's own file handle of "main": the only safe way to read the database or lock its -shm.
  base::Result<sqlite3_file*> file();

 private:
  Connection(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  sqlite3* const handle_;
  const std::string path_;
};

}  // namespace understudy::sqlite
