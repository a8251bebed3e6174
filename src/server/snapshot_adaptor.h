// SPDX-License-Identifier: Apache-2.0
// ReaderSnapshot: backup::SnapshotSource over a read transaction of a passive or active copy.
// The pages are what the active has: the read-only mark of a passive copy is taken off page 1.
// Threading: as SnapshotSource.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "backup/snapshot_source.h"
#include "sqlite/snapshot_reader.h"

namespace understudy::server {

class ReaderSnapshot final : public backup::SnapshotSource {
 public:
  ReaderSnapshot(backup::SnapshotOrigin origin, std::unique_ptr<sqlite::SnapshotReader> reader,
                 log::LogEnd at, std::vector<uint64_t> hashes = {})
      : origin_(std::move(origin)),
        reader_(std::move(reader)),
        at_(std::move(at)),
        hashes_(std::move(hashes)) {}

  backup::SnapshotOrigin origin() const override { return origin_; }
  uint32_t page_size() const override { return reader_->page_size(); }
  uint32_t pages() const override { return reader_->pages(); }
  log::LogEnd at() const override { return at_; }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override {
    RETURN_IF_ERROR(reader_->ReadPages(first, count, out));
    if (first.value == 1 && count > 0 &&
        out[log::kWriteVersionOffset] == log::kWriteVersionReadOnly) {
      out[log::kWriteVersionOffset] = log::kWriteVersionWal;
    }
    return {};
  }
  // The database's file, and the pages that are elsewhere: what a clone needs.
  std::string path() const { return reader_->path(); }
  std::vector<base::PageNo> PagesInWal() const { return reader_->PagesInWal(); }
  std::vector<uint64_t> TakeHashes() override { return std::exchange(hashes_, {}); }

 private:
  const backup::SnapshotOrigin origin_;
  const std::unique_ptr<sqlite::SnapshotReader> reader_;
  const log::LogEnd at_;
  std::vector<uint64_t> hashes_;
};

}  // namespace understudy::server
