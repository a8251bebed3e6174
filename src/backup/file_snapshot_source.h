// SPDX-License-Identifier: Apache-2.0
// FileSnapshotSource: the SnapshotSource of a database file that nobody has open and that has no
// `-wal` file, such as a copy or a restored database. Never for a live one: closing the file would
// drop SQLite's locks (env/env.h, invariant 4).
//
// The position is given by the caller; the database checksum and the page hashes are computed by
// reading all pages once. Memory: 8 bytes a page.
// Threading: thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backup/snapshot_source.h"
#include "env/env.h"
#include "store/object_store.h"

namespace understudy::backup {

class FileSnapshotSource final : public SnapshotSource {
 public:
  // kInvalidArgument when it is not a SQLite database in WAL mode or its -wal file is there.
  static base::Result<std::unique_ptr<FileSnapshotSource>> Open(env::Env& env,
                                                                const std::string& path,
                                                                const SnapshotOrigin& origin,
                                                                base::Position position);

  SnapshotOrigin origin() const override { return origin_; }
  uint32_t page_size() const override { return at_.page_size; }
  uint32_t pages() const override { return at_.pages; }
  log::LogEnd at() const override { return at_; }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override;
  std::vector<uint64_t> TakeHashes() override { return std::exchange(hashes_, {}); }

 private:
  FileSnapshotSource(std::unique_ptr<store::ObjectReader> file, SnapshotOrigin origin,
                     log::LogEnd at)
      : file_(std::move(file)), origin_(std::move(origin)), at_(std::move(at)) {}
  base::Status ComputeChecksum();

  const std::unique_ptr<store::ObjectReader> file_;
  const SnapshotOrigin origin_;
  log::LogEnd at_;
  std::vector<uint64_t> hashes_;  // for TakeHashes
};

}  // namespace understudy::backup
