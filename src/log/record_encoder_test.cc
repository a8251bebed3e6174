// SPDX-License-Identifier: Apache-2.0
#include "log/record_encoder.h"

#include <gtest/gtest.h>

#include "log/image_cache.h"
#include "log/test_records.h"

namespace understudy::log {
namespace {

using base::PageNo;

constexpr uint32_t kPage = 1024;

class KeepParts final : public PartSink {
 public:
  base::Status OnPart(const PartHeader&, base::ByteView part) override {
    if (fail) return base::IoError("full");
    parts.emplace_back(part.begin(), part.end());
    return {};
  }
  RecordPart Last() const { return ParsePart(parts.back()).value(); }

  bool fail = false;
  std::vector<base::Bytes> parts;
};

base::Bytes Noise(uint64_t seed) {
  std::mt19937_64 random(seed);
  base::Bytes image(kPage);
  for (uint8_t& byte : image) byte = static_cast<uint8_t>(random());
  return image;
}

RecordInfo Info(uint64_t seq, uint32_t pages) {
  return {.term = base::Term(1),
          .seq_first = base::Seq(seq),
          .seq_last = base::Seq(seq),
          .pages_after = pages};
}

class RecordEncoderTest : public ::testing::Test {
 protected:
  void Write(RecordEncoder& encoder, uint64_t seq, uint32_t pages,
             const std::vector<std::pair<uint32_t, base::Bytes>>& changed) {
    encoder.Begin(Info(seq, pages), table_, sink_);
    for (const auto& [page, image] : changed) {
      ASSERT_TRUE(encoder.AddPage(PageNo(page), image).ok());
    }
    ASSERT_TRUE(encoder.Finish().ok());
  }

  PageTable table_;
  KeepParts sink_;
};

TEST_F(RecordEncoderTest, ChecksumIsThatOfTheWholeDatabase) {
  RecordEncoder encoder({.database = TestId(), .page_size = kPage}, nullptr);
  Write(encoder, 1, 3, {{1, Noise(1)}, {2, Noise(2)}, {3, Noise(3)}});
  Write(encoder, 2, 2, {{2, Noise(4)}});  // page 3 is cut off
  EXPECT_EQ(table_.checksum(), HashPage(PageNo(1), Noise(1)) ^ HashPage(PageNo(2), Noise(4)));
  EXPECT_EQ(sink_.Last().header.checksum_after, table_.checksum());
  EXPECT_EQ(table_.pages(), 2u);
}

TEST_F(RecordEncoderTest, UnchangedAndCutOffPagesMakeNoEntries) {
  RecordEncoder encoder({.database = TestId(), .page_size = kPage}, nullptr);
  Write(encoder, 1, 2, {{1, Noise(1)}, {2, Noise(2)}});
  Write(encoder, 2, 2, {{1, Noise(1)}, {3, Noise(3)}});
  EXPECT_EQ(sink_.Last().header.entry_count, 0u);
}

TEST_F(RecordEncoderTest, StaleBaseGivesAFullImage) {
  base::Bytes stale = Noise(9);
  int asked = 0;
  RecordEncoder encoder({.database = TestId(), .page_size = kPage, .cache_bytes_max = 0},
                        [&](PageNo, std::span<uint8_t> out) {
                          ++asked;
                          std::copy(stale.begin(), stale.end(), out.begin());
                          return true;
                        });
  base::Bytes image = Noise(1);
  Write(encoder, 1, 1, {{1, image}});
  EXPECT_EQ(asked, 0);  // the page was never set: there is no base
  base::Bytes changed = image;
  changed[5] ^= 1;
  Write(encoder, 2, 1, {{1, changed}});
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(sink_.Last().entries[0].encoding, Encoding::kRaw);
  stale = changed;
  changed[6] ^= 1;
  Write(encoder, 3, 1, {{1, changed}});
  EXPECT_EQ(sink_.Last().entries[0].encoding, Encoding::kDelta);
}

TEST_F(RecordEncoderTest, PageThatCameBackAfterTheDatabaseShrankIsFull) {
  RecordEncoder encoder({.database = TestId(), .page_size = kPage}, nullptr);
  Write(encoder, 1, 2, {{1, Noise(1)}, {2, Noise(2)}});
  Write(encoder, 2, 1, {{1, Noise(3)}});
  base::Bytes again = Noise(2);
  again[0] ^= 1;
  Write(encoder, 3, 2, {{2, again}});
  EXPECT_EQ(sink_.Last().entries[0].encoding, Encoding::kRaw);
}

TEST_F(RecordEncoderTest, FailedSinkEndsTheRecordAndAbandonLetsTheNextBegin) {
  RecordEncoder encoder({.database = TestId(), .page_size = kPage}, nullptr);
  encoder.Begin(Info(1, 1), table_, sink_);
  ASSERT_TRUE(encoder.AddPage(PageNo(1), Noise(1)).ok());
  sink_.fail = true;
  EXPECT_EQ(encoder.Finish().code(), base::Code::kIoError);
  encoder.Abandon();
  sink_.fail = false;
  table_ = PageTable();
  Write(encoder, 1, 1, {{1, Noise(1)}});
  EXPECT_EQ(sink_.Last().header.checksum_before, 0u);
}

TEST_F(RecordEncoderTest, WorksOnAfterReleasingItsMemory) {
  RecordEncoder encoder({.database = TestId(), .page_size = kPage}, nullptr);
  Write(encoder, 1, 1, {{1, Noise(1)}});
  encoder.ReleaseMemory();
  Write(encoder, 2, 1, {{1, Noise(2)}});
  EXPECT_EQ(sink_.Last().entries[0].encoding, Encoding::kRaw);  // the base was forgotten
}

TEST(ImageCache, ForgetsTheLeastRecentlyWritten) {
  ImageCache cache(kPage, 2 * kPage);
  cache.Put(PageNo(1), 11, Noise(1));
  cache.Put(PageNo(2), 12, Noise(2));
  cache.Put(PageNo(1), 13, Noise(3));
  cache.Put(PageNo(5), 15, Noise(5));
  EXPECT_EQ(cache.images(), 2u);
  EXPECT_EQ(cache.Find(PageNo(2)), nullptr);
  ASSERT_NE(cache.Find(PageNo(1)), nullptr);
  EXPECT_EQ(cache.Find(PageNo(1))->hash, 13u);
  EXPECT_EQ(
      base::Bytes(cache.Find(PageNo(5))->bytes.get(), cache.Find(PageNo(5))->bytes.get() + kPage),
      Noise(5));
}

TEST(PageTable, ChecksumIsTheXorOfSetPages) {
  PageTable table;
  table.Set(PageNo(3), 5);
  table.Set(PageNo(1), 6);
  table.Set(PageNo(3), 9);
  EXPECT_EQ(table.checksum(), 6u ^ 9u);
  EXPECT_EQ(table.pages(), 3u);
  EXPECT_EQ(table.HashOf(PageNo(2)), 0u);
  EXPECT_EQ(table.HashOf(PageNo(4)), 0u);
  table.Resize(2);
  EXPECT_EQ(table.checksum(), 6u);
  table.Resize(4);
  EXPECT_EQ(table.checksum(), 6u);
}

}  // namespace
}  // namespace understudy::log
