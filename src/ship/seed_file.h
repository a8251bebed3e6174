// SPDX-License-Identifier: Apache-2.0
// SeedFile: the page file of a seed ("<path>.seeding") with the hashes of its pages, and the
// application of log entries to it.
//
// The table always tells what the file holds. Page 1 is kept without the read-only mark until
// Finish, so that deltas find the base that the active had.
// Memory: 8 bytes a page. Threading: thread-compatible.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "log/page_table.h"
#include "ship/seed_journal.h"

namespace understudy::ship {

class SeedFile {
 public:
  static base::Result<std::unique_ptr<SeedFile>> Open(env::Env& env, const std::string& path,
                                                      uint32_t page_size);

  // `images` are whole pages from `first` on.
  base::Status WritePages(base::PageNo first, base::ByteView images);
  // Hashes up to `count` pages from `first` on; returns how many there were before the file's end.
  base::Result<uint32_t> Rehash(base::PageNo first, uint32_t count);

  // Brings one part onto the file. `chunk_at` has the positions of all chunks. With `resumed`,
  // pages may already be at or ahead of an entry: what does not fit now is left to later entries
  // and the checksum at the end.
  base::Status Apply(const log::RecordPart& part, const SeedLayout& layout,
                     const std::vector<base::Position>& chunk_at, bool resumed);

  base::Status Sync() { return file_->Sync(); }
  // Cuts the file and the table to `pages`.
  base::Status Resize(uint32_t pages);
  // Sets the read-only mark, syncs, closes. REQUIRES: not used any more.
  base::Status Finish();

  const log::PageTable& table() const { return table_; }
  log::PageTable TakeTable() { return std::move(table_); }
  uint64_t entries_applied() const { return entries_applied_; }
  uint64_t entries_skipped() const { return entries_skipped_; }
  // Pages whose entries did not fit (resumed only), newest knowledge.
  const std::set<uint32_t>& unsettled() const { return unsettled_; }

 private:
  SeedFile() = default;
  base::Status ApplyEntry(const log::Entry& entry, bool resumed);
  // The page as it is in the file; empty when the file ends before it.
  base::Result<base::ByteView> ReadPage(base::PageNo page);

  std::unique_ptr<env::File> file_;
  std::string path_;
  uint32_t page_size_ = 0;
  log::PageTable table_;
  log::EntryDecoder decoder_;
  base::Bytes base_;
  base::Bytes image_;
  std::set<uint32_t> unsettled_;
  uint64_t entries_applied_ = 0;
  uint64_t entries_skipped_ = 0;
};

}  // namespace understudy::ship
