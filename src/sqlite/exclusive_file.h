// SPDX-License-Identifier: Apache-2.0
// ExclusiveFile: the bytes of a database file that nobody else has open, kept from everybody by
// SQLite's own exclusive lock until it is destroyed.
//
// Whoever has a database in WAL mode open holds a shared lock on it for as long, so that is kBusy;
// so is any transaction of one with a rollback journal. The pages go through SQLite's own handle:
// a second descriptor would drop the lock when it is closed. What a WAL or a journal beside it
// holds is not seen. Threading: thread-compatible. Errors: kBusy, others as of Connection.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "sqlite/connection.h"

namespace understudy::sqlite {

class ExclusiveFile {
 public:
  // `vfs` empty: the default one. The file must exist; it need not be a database.
  static base::Result<std::unique_ptr<ExclusiveFile>> Open(const std::string& path,
                                                           const std::string& vfs = "");

  base::Result<uint64_t> Size();
  // Zeros beyond the end of the file.
  base::Status ReadAt(uint64_t offset, std::span<uint8_t> out);
  base::Status WriteAt(uint64_t offset, base::ByteView bytes);
  base::Status Truncate(uint64_t size);
  // ENSURES: everything written before is on disk.
  base::Status Sync();

 private:
  ExclusiveFile(std::unique_ptr<Connection> connection, sqlite3_file* file)
      : connection_(std::move(connection)), file_(file) {}

  const std::unique_ptr<Connection> connection_;  // closing it ends the lock
  sqlite3_file* const file_;
};

}  // namespace understudy::sqlite
