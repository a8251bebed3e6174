// SPDX-License-Identifier: Apache-2.0
// WalFile: reads a database's `-wal` through the handle that SQLite itself has open.
//
// SQLite's handle costs no further descriptor and stays good for as long as the connection is
// open, since the last closer of a database, who unlinks the `-wal`, can only be ourselves. Which
// frames may be read, and may still be believed afterwards, is the caller's business (read only
// frames up to mxFrame of a consistent wal-index header, under a pin).
// Threading: thread-compatible value; the Connection must outlive it. Errors: kIoError.
#pragma once

#include <optional>
#include <span>

#include "base/status.h"
#include "sqlite/connection.h"
#include "sqlite/wal_format.h"

struct sqlite3_file;

namespace understudy::sqlite {

class WalFile {
 public:
  // REQUIRES: the connection has read once in WAL mode (WalIndex::Map does). kNotFound otherwise.
  static base::Result<WalFile> Of(Connection& connection);

  // Nothing when the file is shorter or its header is not valid (yet).
  base::Result<std::optional<WalHeader>> ReadHeader() const;
  // Frames first.. with their headers into `out`. False: the file is too short.
  // REQUIRES: out.size() is a multiple of 24 + page_size.
  base::Result<bool> ReadFrames(uint64_t first, uint32_t page_size, std::span<uint8_t> out) const;
  // The page of one frame, without its header. False: the file is too short.
  base::Result<bool> ReadPage(uint64_t frame, uint32_t page_size, std::span<uint8_t> out) const;
  base::Result<uint64_t> Size() const;
  // ENSURES: everything written to it before, by anybody, survives a power cut.
  base::Status Sync() const;

 private:
  explicit WalFile(sqlite3_file* file) : file_(file) {}
  base::Result<bool> Read(uint64_t offset, std::span<uint8_t> out) const;

  sqlite3_file* file_;
};

// Keeps SQLite from checkpointing and deleting the WAL when this connection is the last to close:
// then capture finds its place in it again.
void KeepWalAtClose(Connection& connection);

// Reads database pages first.. through the connection's handle; zeros beyond the end of the file.
// REQUIRES: out.size() is a multiple of page_size; the connection has read once.
base::Status ReadDatabaseFile(sqlite3_file* file, base::PageNo first, uint32_t page_size,
                              std::span<uint8_t> out);

}  // namespace understudy::sqlite
