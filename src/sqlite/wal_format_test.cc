// SPDX-License-Identifier: Apache-2.0
// The byte layout against files that SQLite itself wrote.
#include "sqlite/wal_format.h"

#include <gtest/gtest.h>

#include "sqlite/connection.h"
#include "sqlite/wal_file.h"
#include "sqlite/wal_index.h"
#include "testing/temp_dir.h"

namespace understudy::sqlite {
namespace {

class WalFormat : public testing::TestWithParam<uint32_t> {};

TEST_P(WalFormat, EveryFrameOfARealWalFitsItsHeaderAndIndex) {
  const uint32_t page_size = GetParam();
  test::TempDir directory;
  auto connection = Connection::Open(directory.File("a.db"), {.create = true, .vfs = ""});
  ASSERT_TRUE(connection.ok());
  Connection& c = **connection;
  ASSERT_TRUE(
      c.Execute("PRAGMA synchronous=OFF; PRAGMA page_size=" + std::to_string(page_size)).ok());
  ASSERT_TRUE(
      c.Execute("PRAGMA journal_mode=WAL; CREATE TABLE t(a, b); CREATE INDEX i ON t(b)").ok());
  // More frames than the first region of the wal-index has (fewer of the large ones).
  for (int i = 0; i < (page_size <= 4096 ? 2200 : 100); ++i)
    ASSERT_TRUE(c.Execute("INSERT INTO t VALUES(1, randomblob(300))").ok());
  auto index = WalIndex::Map(c);
  ASSERT_TRUE(index.ok());
  auto wal = WalFile::Of(c);
  ASSERT_TRUE(wal.ok());
  const std::optional<WalIndexHeader> header = index->ReadHeader();
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->page_size(), page_size);
  WalIndexHeader rebuilt;
  rebuilt.set_page_size(page_size);
  EXPECT_EQ(rebuilt.stored_page_size, header->stored_page_size);
  auto wal_header = wal->ReadHeader();
  ASSERT_TRUE(wal_header.ok() && wal_header->has_value());
  EXPECT_EQ((*wal_header)->salts, header->wal_salts());
  EXPECT_EQ((*wal_header)->page_size, page_size);

  std::vector<uint32_t> indexed;
  ASSERT_TRUE(index
                  ->ForEachFrame(1, header->mx_frame,
                                 [&](uint32_t frame, uint32_t page) {
                                   EXPECT_EQ(frame, indexed.size() + 1);
                                   indexed.push_back(page);
                                 })
                  .ok());
  ASSERT_EQ(indexed.size(), header->mx_frame);
  if (page_size <= 4096) {
    ASSERT_GT(header->mx_frame, kIndexPagesFirstRegion);
  }
  WalChecksum sum = (*wal_header)->checksum;
  base::Bytes frame(kWalFrameHeaderBytes + page_size);
  base::Bytes again(frame.size());
  for (uint32_t i = 1; i <= header->mx_frame; ++i) {
    auto there = wal->ReadFrames(i, page_size, frame);
    ASSERT_TRUE(there.ok() && *there);
    const WalFrameHeader parsed = ParseWalFrameHeader(frame.data());
    ASSERT_EQ(parsed.page.value, indexed[i - 1]);
    again = frame;
    const WalChecksum stored =
        StoreWalFrameHeader(again.data(), parsed.page, parsed.pages_after, **wal_header, sum);
    ASSERT_EQ(again, frame) << "written as SQLite writes it";
    sum = AddFrame(sum, frame, (*wal_header)->big_endian);
    ASSERT_EQ(stored, sum);
  }
  EXPECT_EQ(sum, header->frame_sum());
}

INSTANTIATE_TEST_SUITE_P(PageSizes, WalFormat, testing::Values(512, 4096, 65536));

TEST(WalFormatHeader, RefusesEveryFlippedBit) {
  uint8_t bytes[kWalHeaderBytes];
  WalHeader header{.page_size = 4096, .sequence = 3, .salts = {1, 2}, .checksum = {}};
  StoreWalHeader(bytes, header);
  ASSERT_TRUE(ParseWalHeader(bytes).has_value());
  for (size_t bit = 0; bit < 8 * sizeof bytes; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_FALSE(ParseWalHeader(bytes).has_value()) << bit;
    bytes[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
  }
}

TEST(WalFormatHeader, BigEndianChecksumsDifferFromLittleEndianOnes) {
  const uint8_t words[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(AddToWalChecksum({}, words, true), (WalChecksum{0x01020304, 0x0608'0a0c}));
  EXPECT_EQ(AddToWalChecksum({}, words, false), (WalChecksum{0x04030201, 0x0c0a'0806}));
}

}  // namespace
}  // namespace understudy::sqlite
