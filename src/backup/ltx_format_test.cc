// SPDX-License-Identifier: Apache-2.0
// The bytes of our LTX files against vectors that Litestream 0.5 accepted.
#include "backup/ltx_format.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "backup/crc64.h"
#include "backup/ltx_reader.h"
#include "backup/ltx_writer.h"
#include "testing/temp_dir.h"

namespace understudy::backup {
namespace {

// Two pages of 512 bytes: 0..255 twice, and zeros.
base::Bytes VectorPages() {
  base::Bytes pages(1024);
  for (size_t i = 0; i < 512; ++i) pages[i] = static_cast<uint8_t>(i);
  return pages;
}

constexpr LtxHeader kVectorHeader{
    .page_size = 512, .commit = 2, .min_txid = 1, .max_txid = 1, .timestamp_ms = 1};

// As PageEncoder makes it, but with literal-only blocks.
EncodedChunk LiteralChunk(base::ByteView pages, uint32_t page_size) {
  EncodedChunk chunk;
  chunk.first = base::PageNo(1);
  chunk.pages = static_cast<uint32_t>(pages.size() / page_size);
  for (uint32_t i = 0; i < chunk.pages; ++i) {
    const base::ByteView page = pages.subspan(size_t{i} * page_size, page_size);
    base::Bytes frame(kLtxFrameHeaderBytes);
    frame.push_back(0xf0);
    size_t rest = page_size - 15;
    for (; rest >= 255; rest -= 255) frame.push_back(255);
    frame.push_back(static_cast<uint8_t>(rest));
    base::AppendBytes(frame, page);
    base::StoreBe32(frame.data(), i + 1);
    base::StoreBe16(frame.data() + 4, kLtxPageFlagSize);
    base::StoreBe32(frame.data() + 6, static_cast<uint32_t>(frame.size() - kLtxFrameHeaderBytes));
    chunk.crc64 = ExtendCrc64(chunk.crc64, base::ByteView(frame).first(kLtxFrameHeaderBytes));
    chunk.crc64 = ExtendCrc64(chunk.crc64, page);
    chunk.crc64_bytes += kLtxFrameHeaderBytes + page_size;
    chunk.sizes.push_back(static_cast<uint32_t>(frame.size()));
    base::AppendBytes(chunk.buffer, frame);
  }
  chunk.bytes = chunk.buffer.size();
  return chunk;
}

TEST(LtxFormat, WritesTheKnownFileToTheByte) {
  base::Bytes bytes;
  const auto append = [&bytes](base::ByteView more) {
    base::AppendBytes(bytes, more);
    return base::Status();
  };
  auto writer = LtxWriter::Begin(append, kVectorHeader);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(LiteralChunk(VectorPages(), 512)).ok());
  ASSERT_TRUE((*writer)->Finish().ok());

  EXPECT_EQ((*writer)->bytes(), 1190u);
  EXPECT_EQ((*writer)->file_checksum(), 0xc53393f7376158f2);
  const base::ByteView all = bytes;
  const base::Bytes frame_start = {0, 0, 0, 1, 0, 1, 0, 0, 2, 3, 0xf0, 0xff, 0xf2, 0, 1};
  EXPECT_TRUE(std::ranges::equal(all.subspan(kLtxHeaderBytes, frame_start.size()), frame_start));
  const base::Bytes end = {1, 0x64, 0x8d, 4,    2,    0xf1, 4,    0x8d, 4,    0,   0, 0,
                           0, 0,    0,    0,    0,    10,   0,    0,    0,    0,   0, 0,
                           0, 0,    0xc5, 0x33, 0x93, 0xf7, 0x37, 0x61, 0x58, 0xf2};
  EXPECT_TRUE(std::ranges::equal(all.last(end.size()), end));
}

TEST(LtxFormat, PageSumsOfTheVectorAreLitestreams) {
  const base::Bytes pages = VectorPages();
  const auto page_sum = [&](uint32_t number) {
    uint8_t prefix[4];
    base::StoreBe32(prefix, number);
    return kLtxChecksumFlag |
           ExtendCrc64(Crc64(prefix), base::ByteView(pages).subspan((number - 1) * 512, 512));
  };
  EXPECT_EQ(page_sum(1), 0xc6f13286cb62cc9f);
  EXPECT_EQ(page_sum(2), 0xef63e89fecd99000);
  EXPECT_EQ((page_sum(1) ^ page_sum(2)) | kLtxChecksumFlag, 0xa992da1927bb5c9f);
}

TEST(LtxFormat, HeaderRoundTripsAndRefusesWhatWeDoNotWrite) {
  std::array<uint8_t, kLtxHeaderBytes> bytes{};
  EncodeLtxHeader(kVectorHeader, bytes);
  const auto header = DecodeLtxHeader(bytes);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header.value(), kVectorHeader);

  auto tracked = bytes;
  tracked[7] = 0;  // without NoChecksum
  EXPECT_EQ(DecodeLtxHeader(tracked).status().code(), base::Code::kInvalidArgument);
  auto odd_size = bytes;
  odd_size[10] = 3;
  EXPECT_EQ(DecodeLtxHeader(odd_size).status().code(), base::Code::kCorruption);
  EXPECT_EQ(DecodeLtxHeader(base::ByteView(bytes).first(99)).status().code(),
            base::Code::kCorruption);
}

TEST(LtxFormat, FileNamesAreLowerCaseHexAndNothingElse) {
  EXPECT_EQ(LtxFileName({1, 0x6ce}), "0000000000000001-00000000000006ce.ltx");
  const auto range = ParseLtxFileName("0000000000000001-00000000000006ce.ltx");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->max, 0x6ceu);
  EXPECT_FALSE(ParseLtxFileName("0000000000000001-00000000000006CE.ltx"));
  EXPECT_FALSE(ParseLtxFileName("0000000000000001-00000000000006ce.ltx.tmp"));
  EXPECT_FALSE(ParseLtxFileName("000000000000001-00000000000006ce.ltx"));
}

TEST(PageCodec, LeavesTheLockPageOutAndGivesItBackAsZeros) {
  constexpr uint32_t kPageSize = 65536;
  const uint32_t lock_page = LockPage(kPageSize);
  base::Bytes images(3 * kPageSize, 0x5a);
  PageEncoder encoder;
  EncodedChunk chunk;
  encoder.Encode(base::PageNo(lock_page - 1), kPageSize, images, chunk);
  EXPECT_EQ(chunk.sizes.size(), 2u);

  base::Bytes decoded(images.size(), 0xff);
  const auto sums = DecodeChunk(base::PageNo(lock_page - 1), kPageSize, chunk.frames(), decoded);
  ASSERT_TRUE(sums.ok()) << sums.status().ToString();
  EXPECT_EQ(sums.value().crc64, chunk.crc64);
  std::fill(images.begin() + kPageSize, images.begin() + 2 * kPageSize, uint8_t{0});
  EXPECT_EQ(decoded, images);
}

}  // namespace
}  // namespace understudy::backup
