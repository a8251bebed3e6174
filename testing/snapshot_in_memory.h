// SPDX-License-Identifier: Apache-2.0
// SnapshotInMemory: a SnapshotSource over page images made from a seed, for tests of backups.
//
// Pages are a mixture of text, noise and zeros, so that all ways of compressing occur; page 1
// begins as a SQLite database does. Threading: as SnapshotSource.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backup/snapshot_source.h"
#include "base/bytes.h"
#include "log/page_table.h"

namespace understudy::test {

class SnapshotInMemory final : public backup::SnapshotSource {
 public:
  SnapshotInMemory(uint32_t page_size, uint32_t pages, uint64_t seed, base::Position position)
      : images_(static_cast<size_t>(page_size) * pages) {
    origin_.database.bytes.fill(0xdb);
    origin_.database_name = "orders";
    origin_.server = "s2";
    origin_.role = "passive";
    at_.position = position;
    at_.page_size = page_size;
    at_.pages = pages;
    at_.commit_time = {1'700'000'000'000 + static_cast<int64_t>(position.seq.value)};
    std::mt19937_64 random(seed);
    for (uint32_t page = 1; page <= pages; ++page) Fill(Page(page), page, random);
    std::memcpy(images_.data(), "SQLite format 3", 16);
    base::StoreBe16(images_.data() + 16, static_cast<uint16_t>(page_size == 65536 ? 1 : page_size));
    images_[18] = images_[19] = 2;
    ComputeChecksum();
  }

  backup::SnapshotOrigin origin() const override { return origin_; }
  uint32_t page_size() const override { return at_.page_size; }
  uint32_t pages() const override { return at_.pages; }
  log::LogEnd at() const override { return at_; }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override {
    const size_t page_size = at_.page_size;
    if (!read_failure_.ok()) return read_failure_;
    pages_read_ += count;
    std::memcpy(out.data(), images_.data() + (first.value - 1) * page_size, count * page_size);
    if (first.value == 1 && marked_) out[log::kWriteVersionOffset] = log::kWriteVersionReadOnly;
    return base::Status();
  }

  std::vector<uint64_t> TakeHashes() override { return std::exchange(hashes_, {}); }

  const base::Bytes& images() const { return images_; }  // without the read-only mark
  std::span<uint8_t> Page(uint32_t page) {
    return std::span<uint8_t>(images_).subspan(static_cast<size_t>(page - 1) * at_.page_size,
                                               at_.page_size);
  }
  backup::SnapshotOrigin& mutable_origin() { return origin_; }
  log::LogEnd& mutable_at() { return at_; }
  void Mark() { marked_ = true; }  // answers page 1 as a passive copy has it
  void FailReads(base::Status status) { read_failure_ = std::move(status); }
  void ComputeChecksum() {
    at_.checksum = 0;
    for (const uint64_t hash : Hashes()) at_.checksum ^= hash;
  }
  void OfferHashes() { hashes_ = Hashes(); }  // of the pages as they are now
  uint64_t pages_read() const { return pages_read_; }

 private:
  std::vector<uint64_t> Hashes() {
    std::vector<uint64_t> hashes;
    for (uint32_t page = 1; page <= at_.pages; ++page) {
      hashes.push_back(log::HashPage(base::PageNo(page), Page(page)));
    }
    return hashes;
  }
  static void Fill(std::span<uint8_t> page, uint32_t number, std::mt19937_64& random) {
    switch (random() % 4) {
      case 0: break;  // zeros
      case 1:
        for (uint8_t& byte : page) byte = static_cast<uint8_t>(random());
        break;
      default:
        const std::string text = "page " + std::to_string(number) + " of some mail, ";
        const size_t noise = page.size() / 4;
        for (size_t i = 0; i < noise; ++i) page[i] = static_cast<uint8_t>(random());
        for (size_t i = noise; i < page.size(); ++i) {
          page[i] = static_cast<uint8_t>(text[i % text.size()]);
        }
    }
  }

  base::Bytes images_;
  backup::SnapshotOrigin origin_;
  log::LogEnd at_;
  bool marked_ = false;
  base::Status read_failure_;
  std::vector<uint64_t> hashes_;  // for TakeHashes
  uint64_t pages_read_ = 0;
};

}  // namespace understudy::test
