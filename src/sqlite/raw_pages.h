// SPDX-License-Identifier: Apache-2.0
// RawPages: the pages of a database file as they are on disk, through SQLite's own handle, for a
// file that SQLite itself can no longer read. What the WAL holds is not seen.
//
// Threading: thread-compatible. Errors: kCorruption when the header tells no page size, others as
// of Connection.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/ids.h"
#include "sqlite/connection.h"

namespace understudy::sqlite {

class RawPages {
 public:
  static base::Result<std::unique_ptr<RawPages>> Open(const std::string& path);

  uint32_t page_size() const { return page_size_; }
  uint32_t pages() const { return pages_; }  // whole ones
  // REQUIRES: first >= 1, first + count - 1 <= pages(), out.size() == count * page_size().
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out);

 private:
  RawPages(std::unique_ptr<Connection> connection, sqlite3_file* file)
      : connection_(std::move(connection)), file_(file) {}

  const std::unique_ptr<Connection> connection_;
  sqlite3_file* const file_;
  uint32_t page_size_ = 0;
  uint32_t pages_ = 0;
};

}  // namespace understudy::sqlite
