// SPDX-License-Identifier: Apache-2.0
#include "backup/crc64.h"

#include <gtest/gtest.h>

#include <random>

namespace understudy::backup {
namespace {

base::Bytes RandomBytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  base::Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

TEST(Crc64, HasTheCheckValueOfGoIso) {
  EXPECT_EQ(Crc64(base::AsBytes("123456789")), 0xb90956c775a41001);
  EXPECT_EQ(ExtendCrc64ByTable(0, base::AsBytes("123456789")), 0xb90956c775a41001);
  EXPECT_EQ(Crc64({}), 0u);
}

TEST(Crc64, FastAndPortableWaysAgreeAtEveryLengthAndOffset) {
  const base::Bytes bytes = RandomBytes(1200, 1);
  for (size_t offset = 0; offset < 17; ++offset) {
    for (size_t length = 0; length + offset <= bytes.size(); ++length) {
      const base::ByteView view = base::ByteView(bytes).subspan(offset, length);
      ASSERT_EQ(ExtendCrc64(offset, view), ExtendCrc64ByTable(offset, view)) << offset << length;
    }
  }
}

TEST(Crc64, CombineEqualsTheSumOfTheWhole) {
  const base::Bytes bytes = RandomBytes(5000, 2);
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{10}, size_t{4106}, bytes.size()}) {
    const base::ByteView a = base::ByteView(bytes).first(cut);
    const base::ByteView b = base::ByteView(bytes).subspan(cut);
    EXPECT_EQ(CombineCrc64(Crc64(a), Crc64(b), b.size()), Crc64(bytes)) << cut;
    EXPECT_EQ(ExtendCrc64(Crc64(a), b), Crc64(bytes)) << cut;
  }
}

}  // namespace
}  // namespace understudy::backup
