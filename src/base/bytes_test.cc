// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/crc32c.h"
#include "base/hex.h"

namespace understudy::base {
namespace {

Bytes Encoded(uint64_t value) {
  Bytes out;
  AppendVarint(out, value);
  return out;
}

TEST(Bytes, NumbersHaveTheStatedByteOrder) {
  Bytes out;
  AppendLe<uint32_t>(out, 0x01020304);
  EXPECT_EQ(out, (Bytes{4, 3, 2, 1}));
  EXPECT_EQ(LoadLe<uint32_t>(out.data()), 0x01020304u);
  EXPECT_EQ(LoadBe32(out.data()), 0x04030201u);
  uint8_t wide[8];
  StoreBe64(wide, 0x0102030405060708);
  EXPECT_EQ(wide[0], 1);
  EXPECT_EQ(LoadBe64(wide), 0x0102030405060708u);
  StoreBe32(wide, 0xa0b0c0d0);
  EXPECT_EQ(wide[0], 0xa0);
  EXPECT_EQ(LoadBe32(wide), 0xa0b0c0d0u);
  StoreBe16(wide, 0x1234);
  EXPECT_EQ(wide[0], 0x12);
  EXPECT_EQ(LoadBe16(wide), 0x1234u);
}

TEST(Varint, RoundTripsAtEveryPowerOfTwo) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t value : {(1ULL << bit) - 1, 1ULL << bit, (1ULL << bit) + 1}) {
      const Bytes bytes = Encoded(value);
      EXPECT_LE(bytes.size(), kVarintBytesMax);
      ByteReader reader(bytes);
      EXPECT_EQ(reader.Varint(), value);
      EXPECT_TRUE(reader.ok());
      EXPECT_EQ(reader.remaining(), 0u);
    }
  }
  EXPECT_EQ(Encoded(300), (Bytes{0xac, 0x02}));
  EXPECT_EQ(Encoded(std::numeric_limits<uint64_t>::max()).size(), kVarintBytesMax);
}

TEST(Varint, EveryProperPrefixIsRefused) {
  const Bytes whole = Encoded(std::numeric_limits<uint64_t>::max());
  for (size_t length = 0; length < whole.size(); ++length) {
    ByteReader reader(ByteView(whole).first(length));
    EXPECT_EQ(reader.Varint(), 0u);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Varint, MoreThan64BitsAreRefused) {
  Bytes too_big(9, 0xff);
  too_big.push_back(0x02);  // bit 64
  ByteReader reader(too_big);
  EXPECT_EQ(reader.Varint(), 0u);
  EXPECT_FALSE(reader.ok());
  const Bytes endless(20, 0x80);
  ByteReader second(endless);
  EXPECT_EQ(second.Varint(), 0u);
  EXPECT_FALSE(second.ok());
}

TEST(ByteReader, OnceFailedItStaysFailedAndReturnsNothing) {
  const Bytes bytes = {1, 2, 3, 4, 5};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Le<uint16_t>(), 0x0201);
  EXPECT_EQ(reader.Le<uint32_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.Le<uint8_t>(), 0);
  EXPECT_TRUE(reader.Take(1).empty());
  EXPECT_TRUE(reader.Take(0).empty());
  EXPECT_EQ(reader.Varint(), 0u);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, TakingNothingIsFineAndHugeCountsAreNot) {
  const Bytes bytes = {1, 2};
  ByteReader reader(bytes);
  EXPECT_TRUE(reader.Take(0).empty());
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.rest().size(), 2u);
  EXPECT_TRUE(reader.Take(std::numeric_limits<size_t>::max()).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(Hex, RoundTripsAndAcceptsBothCases) {
  const Bytes bytes = {0x00, 0x1f, 0xab, 0xff};
  EXPECT_EQ(HexEncode(bytes), "001fabff");
  Bytes back(4);
  EXPECT_TRUE(HexDecode("001FabFF", back));
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(HexEncode({}), "");
  EXPECT_TRUE(HexDecode("", {}));
}

TEST(Hex, RefusesWrongLengthsAndDigits) {
  Bytes out(2);
  for (const char* bad : {"", "001", "00112", "001122", "00 1", "0x11", "00g1", "-111"}) {
    EXPECT_FALSE(HexDecode(bad, out)) << bad;
  }
}

TEST(Crc32c, MatchesThePublishedVectors) {
  EXPECT_EQ(Crc32c({}), 0u);
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xe3069283u);
  // RFC 3720, B.4
  EXPECT_EQ(Crc32c(Bytes(32, 0)), 0x8a9136aau);
  EXPECT_EQ(Crc32c(Bytes(32, 0xff)), 0x62a8ab43u);
  Bytes rising, falling;
  for (uint8_t i = 0; i < 32; ++i) {
    rising.push_back(i);
    falling.push_back(static_cast<uint8_t>(31 - i));
  }
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cu);
}

TEST(Crc32c, CanBeExtendedAtAnySplit) {
  Bytes bytes;
  for (int i = 0; i < 100; ++i) bytes.push_back(static_cast<uint8_t>(i * 37));
  for (size_t split = 0; split <= bytes.size(); ++split) {
    const ByteView all(bytes);
    EXPECT_EQ(ExtendCrc32c(Crc32c(all.first(split)), all.subspan(split)), Crc32c(all));
  }
}

TEST(Crc32c, SeesEveryFlippedBit) {
  Bytes bytes(64, 0x5a);
  const uint32_t right = Crc32c(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_NE(Crc32c(bytes), right);
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  }
}

}  // namespace
}  // namespace understudy::base
