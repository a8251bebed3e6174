// SPDX-License-Identifier: Apache-2.0
// For tests of this folder: a made-up database that changes at random and writes its records
// through the real encoder, and a copy that applies them. Threading: thread-compatible.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "log/log_store.h"
#include "log/record_encoder.h"

namespace understudy::log {

inline base::DatabaseId TestId(uint8_t fill = 7) {
  base::DatabaseId id;
  id.bytes.fill(fill);
  return id;
}

// Parts of one record, as the encoder made them.
struct Record {
  PartHeader header;  // of the last part
  std::vector<base::Bytes> parts;
};

class TestDatabase final : public PartSink {
 public:
  explicit TestDatabase(uint32_t page_size = 1024, uint64_t seed = 1)
      : page_size_(page_size), random_(seed), encoder_(MakeEncoder(page_size)) {}
  // A copy has the same pages and position, and an encoder that remembers no images.
  TestDatabase(const TestDatabase& other) { *this = other; }
  TestDatabase& operator=(const TestDatabase& other) {
    page_size_ = other.page_size_;
    random_ = other.random_;
    encoder_ = MakeEncoder(page_size_);
    table_ = other.table_;
    term_ = other.term_;
    seq_ = other.seq_;
    pages_ = other.pages_;
    images_ = other.images_;
    return *this;
  }

  base::Bytes RandomImage() {
    base::Bytes image(page_size_);
    for (uint8_t& byte : image) byte = static_cast<uint8_t>(random_());
    return image;
  }

  Record Mount() {
    ++term_;
    return Write({}, pages_, kRecordMount);
  }

  // A few bytes of a few pages, sometimes a page of noise, zeros, or another size.
  Record Commit(int changes = 3) {
    std::map<uint32_t, base::Bytes> changed;
    uint32_t pages = std::max(1U, pages_ + static_cast<uint32_t>(random_() % 2));
    for (int i = 0; i < changes; ++i) {
      const auto page = static_cast<uint32_t>(1 + random_() % pages);
      base::Bytes image = images_.contains(page) ? images_[page] : base::Bytes(page_size_, 'x');
      switch (random_() % 8) {
        case 0: image = RandomImage(); break;
        case 1: image.assign(page_size_, 0); break;
        default:
          for (int k = 0; k < 20; ++k)
            image[random_() % page_size_] = static_cast<uint8_t>(random_());
      }
      changed[page] = image;
    }
    return Write(changed, pages, 0);
  }

  // Noise on pages 1..count: raw entries, so many parts.
  Record Rewrite(uint32_t count) {
    std::map<uint32_t, base::Bytes> changed;
    for (uint32_t page = 1; page <= count; ++page) changed[page] = RandomImage();
    return Write(changed, std::max(pages_, count), 0);
  }

  Record Write(const std::map<uint32_t, base::Bytes>& changed, uint32_t pages_after,
               uint16_t flags) {
    record_ = Record();
    ++seq_;
    const RecordInfo info{.flags = flags,
                          .term = base::Term(term_),
                          .seq_first = base::Seq(seq_),
                          .seq_last = base::Seq(seq_),
                          .commit_time = {static_cast<int64_t>(1'700'000'000'000 + seq_)},
                          .pages_after = pages_after,
                          .source = {1, 2, static_cast<uint32_t>(seq_), 3, 4}};
    encoder_->Begin(info, table_, *this);
    for (const auto& [page, image] : changed) {
      EXPECT_TRUE(encoder_->AddPage(base::PageNo(page), image).ok());
      images_[page] = image;
    }
    EXPECT_TRUE(encoder_->Finish().ok());
    images_.erase(images_.upper_bound(pages_after), images_.end());
    pages_ = pages_after;
    return record_;
  }

  base::Status OnPart(const PartHeader& header, base::ByteView part) override {
    record_.header = header;
    record_.parts.emplace_back(part.begin(), part.end());
    return {};
  }

  uint64_t seq() const { return seq_; }
  uint32_t pages() const { return pages_; }
  const PageTable& table() const { return table_; }
  const std::map<uint32_t, base::Bytes>& images() const { return images_; }

 private:
  static std::unique_ptr<RecordEncoder> MakeEncoder(uint32_t page_size) {
    return std::make_unique<RecordEncoder>(
        RecordEncoder::Options{
            .database = TestId(), .page_size = page_size, .cache_bytes_max = 64 * page_size},
        nullptr);
  }

  uint32_t page_size_ = 0;
  std::mt19937_64 random_;
  std::unique_ptr<RecordEncoder> encoder_;
  PageTable table_;
  uint64_t term_ = 0;
  uint64_t seq_ = 0;
  uint32_t pages_ = 0;
  std::map<uint32_t, base::Bytes> images_;
  Record record_;
};

// Applies parts as a passive copy does.
class TestCopy {
 public:
  base::Status Apply(const RecordPart& part) {
    for (const Entry& entry : part.entries) {
      base::Bytes out(part.header.page_size);
      const auto known = images_.find(entry.page.value);
      RETURN_IF_ERROR(decoder_.Decode(
          entry, known == images_.end() ? base::ByteView() : base::ByteView(known->second), out));
      images_[entry.page.value] = out;
    }
    if (part.header.last()) {
      images_.erase(images_.upper_bound(part.header.pages_after), images_.end());
    }
    return {};
  }
  std::map<uint32_t, base::Bytes>& images() { return images_; }

 private:
  EntryDecoder decoder_;
  std::map<uint32_t, base::Bytes> images_;
};

}  // namespace understudy::log
