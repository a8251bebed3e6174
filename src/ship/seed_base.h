// SPDX-License-Identifier: Apache-2.0
// SeedBase: the target's half of a resync: puts the pages that are here into the seed's file, chunk
// by chunk a little ahead of the source, and says their hashes.
//
// A page that cannot be read is not announced, so the source sends it. After a cut the chunks that
// were not durable are put and announced again.
//
// Memory: one chunk. Threading: confined to one thread.
#pragma once

#include <memory>

#include "ship/base_pages.h"
#include "ship/messages.h"
#include "ship/seed_file.h"
#include "ship/seed_journal.h"

namespace understudy::ship {

class SeedBase {
 public:
  explicit SeedBase(std::unique_ptr<BasePages> pages) : pages_(std::move(pages)) {}

  uint32_t page_size() const { return pages_->page_size(); }
  // A new SeedRequest was sent: announce from chunk `next` on.
  void Restart(uint32_t next) { next_ = next; }
  // Chunks before this were announced since Restart.
  uint32_t announced() const { return next_; }
  // Whether there is a chunk to announce when all before `received` have come.
  bool Due(const SeedLayout& layout, uint32_t received) const {
    return next_ < layout.chunks() && next_ < received + kSeedHashesAheadMax;
  }
  // Writes the chunk's pages to `file` and tells their hashes (without `request`). It stays the
  // next one until Announced. REQUIRES: Due.
  base::Result<SeedHashes> Put(const SeedLayout& layout, SeedFile& file);
  void Announced() { ++next_; }

 private:
  const std::unique_ptr<BasePages> pages_;
  uint32_t next_ = 0;
  base::Bytes images_;
};

}  // namespace understudy::ship
