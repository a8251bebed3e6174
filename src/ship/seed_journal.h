// SPDX-License-Identifier: Apache-2.0
// SeedJournal: the file that lets a seed go on after kill -9 or a power cut
// ("<path>.seeding.state").
//
// Little-endian. 8 bytes "USSEED1\n", then records: u8 type, 3 zero bytes, u32 length of the
// payload, payload, u32 CRC-32C of type to payload. Byte table: docs/formats/seed-journal.md.
//   1 layout  the first record, written atomically with the file
//   2 chunks  u32 first chunk, then u64 term and u64 seq for each: pages of these chunks are
//   durable 3 end     the LogEnd of SeedEnd: all chunks are here 4 ready   page file and checkpoint
//   are final; only the rename is missing 5 replay  records may have been applied to the page file
//   up to here (u64 seq)
// A torn or damaged tail is ignored (and overwritten): what it said was not promised yet.
//
// Threading: thread-compatible.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "env/env.h"
#include "log/log_store.h"

namespace understudy::ship {

// What the SeedStart said: fixed for the whole seed.
struct SeedLayout {
  base::DatabaseId database{};
  uint64_t seed_id = 0;
  uint32_t page_size = 0;
  uint32_t pages = 0;  // at `start`
  uint32_t chunk_pages = 0;
  log::LogEnd start{};

  uint32_t chunks() const {
    return static_cast<uint32_t>((uint64_t{pages} + chunk_pages - 1) / chunk_pages);
  }
  base::PageNo FirstPage(uint32_t chunk) const {
    return base::PageNo(static_cast<uint32_t>(uint64_t{chunk} * chunk_pages + 1));
  }
  uint32_t PagesOf(uint32_t chunk) const {
    const uint64_t before = uint64_t{chunk} * chunk_pages;
    return static_cast<uint32_t>(std::min<uint64_t>(chunk_pages, pages - before));
  }
};

class SeedJournal {
 public:
  struct State {
    SeedLayout layout;
    std::vector<base::Position> chunk_at{};  // of the durable chunks: 0, 1, …
    std::optional<log::LogEnd> end;
    bool ready = false;
  };

  // Replaces what is there. ENSURES: durable.
  static base::Result<std::unique_ptr<SeedJournal>> Create(env::Env& env, const std::string& path,
                                                           const SeedLayout& layout);
  // kNotFound; kCorruption when not even the layout can be read.
  static base::Result<std::unique_ptr<SeedJournal>> Load(env::Env& env, const std::string& path);

  const State& state() const { return state_; }
  // Each ENSURES: durable. The first failure is sticky.
  base::Status AppendChunks(std::span<const base::Position> at);
  base::Status AppendEnd(const log::LogEnd& end);
  base::Status AppendReady();

 private:
  SeedJournal() = default;
  base::Status Append(uint8_t type, base::ByteView payload);
  bool Take(uint8_t type, base::ByteView payload);

  std::unique_ptr<env::File> file_;
  uint64_t size_ = 0;
  State state_;
  base::Status failure_;
};

}  // namespace understudy::ship
