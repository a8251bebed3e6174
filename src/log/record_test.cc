// SPDX-License-Identifier: Apache-2.0
#include "log/record.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/hex.h"
#include "log/record_format.h"
#include "log/test_records.h"

namespace understudy::log {
namespace {

using base::Code;

// Makes the CRC right again, so that the checks behind it are reached.
void Reseal(base::Bytes& part) {
  base::StoreLe(part.data() + part.size() - kPartCrcBytes,
                base::Crc32c(base::ByteView(part).first(part.size() - kPartCrcBytes)));
}

std::vector<Encoding> EncodingsOf(const Record& record) {
  std::vector<Encoding> out;
  for (const base::Bytes& bytes : record.parts) {
    const auto part = ParsePart(bytes);
    EXPECT_TRUE(part.ok()) << part.status().ToString();
    for (const Entry& entry : part->entries) out.push_back(entry.encoding);
  }
  return out;
}

TEST(Record, RoundTripsEveryEncoding) {
  TestDatabase database(4096);
  TestCopy copy;
  const base::Bytes noise = database.RandomImage();
  base::Bytes text(4096, 'a');
  base::Bytes touched = noise;
  touched[100] ^= 1;
  const Record mount = database.Mount();
  const Record first = database.Write({{1, noise}, {2, text}, {3, base::Bytes(4096, 0)}}, 3, 0);
  const Record second = database.Write({{1, touched}, {2, noise}}, 3, 0);
  EXPECT_EQ(EncodingsOf(first), (std::vector{Encoding::kRaw, Encoding::kZstd, Encoding::kZero}));
  EXPECT_EQ(EncodingsOf(second), (std::vector{Encoding::kDelta, Encoding::kRaw}));
  for (const Record& record : {mount, first, second}) {
    for (const base::Bytes& bytes : record.parts) {
      const auto part = ParsePart(bytes);
      ASSERT_TRUE(part.ok()) << part.status().ToString();
      EXPECT_TRUE(copy.Apply(*part).ok());
    }
  }
  EXPECT_EQ(copy.images(), database.images());
  EXPECT_LT(second.parts[0].size(), 4096 + 300u);
}

TEST(Record, HeaderFieldsComeBack) {
  TestDatabase database;
  database.Mount();
  const Record record = database.Commit();
  const auto part = ParsePart(record.parts.back());
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->header.database, TestId());
  EXPECT_EQ(part->header.term, base::Term(1));
  EXPECT_EQ(part->header.seq_first, base::Seq(2));
  EXPECT_EQ(part->header.commit_time.unix_ms, 1'700'000'000'002);
  EXPECT_EQ(part->header.page_size, 1024u);
  EXPECT_EQ(part->header.pages_after, database.pages());
  EXPECT_EQ(part->header.checksum_after, database.table().checksum());
  EXPECT_EQ(part->header.source, (SourcePosition{1, 2, 2, 3, 4}));
  EXPECT_EQ(part->header.flags, kPartFirst | kPartLast);
}

TEST(Record, LargeRecordBecomesManyPartsAndComesBack) {
  TestDatabase database(4096);
  database.Mount();
  const Record record = database.Rewrite(400);  // 1.6 MB of noise
  ASSERT_GT(record.parts.size(), 3u);
  TestCopy copy;
  for (size_t i = 0; i < record.parts.size(); ++i) {
    const auto part = ParsePart(record.parts[i]);
    ASSERT_TRUE(part.ok());
    EXPECT_EQ(part->header.part, i);
    EXPECT_EQ(part->header.first(), i == 0);
    EXPECT_EQ(part->header.last(), i + 1 == record.parts.size());
    EXPECT_LE(part->bytes.size(), kPartBytesMax);
    EXPECT_TRUE(copy.Apply(*part).ok());
  }
  EXPECT_EQ(copy.images(), database.images());
}

TEST(Record, RandomHistoryComesBack) {
  for (const uint32_t page_size : {512u, 1024u, 4096u, 65536u}) {
    TestDatabase database(page_size, page_size);
    TestCopy copy;
    database.Mount();
    for (int i = 0; i < 100; ++i) {
      for (const base::Bytes& bytes : database.Commit().parts) {
        const auto part = ParsePart(bytes);
        ASSERT_TRUE(part.ok());
        ASSERT_TRUE(copy.Apply(*part).ok());
      }
    }
    EXPECT_EQ(copy.images(), database.images());
  }
}

TEST(Record, PageOneTravelsWithoutTheReadOnlyMark) {
  TestDatabase database;
  database.Mount();
  base::Bytes page = database.RandomImage();
  page[kWriteVersionOffset] = kWriteVersionWal;
  base::Bytes marked = page;
  marked[kWriteVersionOffset] = kWriteVersionReadOnly;
  EXPECT_EQ(HashPage(base::PageNo(1), page), HashPage(base::PageNo(1), marked));
  EXPECT_NE(HashPage(base::PageNo(2), page), HashPage(base::PageNo(2), marked));

  TestCopy copy;
  const Record first = database.Write({{1, marked}}, 1, 0);
  EXPECT_TRUE(copy.Apply(*ParsePart(first.parts[0])).ok());
  EXPECT_EQ(copy.images()[1], page);
  // Setting or clearing the mark is no change of the page.
  EXPECT_EQ(EncodingsOf(database.Write({{1, page}}, 1, 0)).size(), 0u);
  // A delta applies to a base with the mark, as a passive copy has it.
  page[500] ^= 1;
  const Record third = database.Write({{1, page}}, 1, 0);
  EXPECT_EQ(EncodingsOf(third), std::vector{Encoding::kDelta});
  copy.images()[1] = marked;
  EXPECT_TRUE(copy.Apply(*ParsePart(third.parts[0])).ok());
  EXPECT_EQ(copy.images()[1], page);
}

TEST(Record, EveryFlippedByteIsSeen) {
  TestDatabase database;
  database.Mount();
  const base::Bytes good = database.Commit().parts[0];
  for (size_t i = 0; i < good.size(); ++i) {
    base::Bytes bad = good;
    bad[i] ^= 0x40;
    EXPECT_EQ(ParsePart(bad).status().code(), Code::kCorruption) << "byte " << i;
  }
}

// A wrong part with a right CRC: never a crash, and an image that decodes is the one the hash says.
TEST(Record, ResealedFlipsNeverGiveAWrongPage) {
  TestDatabase database(512);
  database.Mount();
  database.Commit(5);
  const base::Bytes good = database.Commit(5).parts[0];
  EntryDecoder decoder;
  for (size_t i = 0; i + kPartCrcBytes < good.size(); ++i) {
    for (const int flip : {1, 0x80, 0xff}) {
      base::Bytes bad = good;
      bad[i] = static_cast<uint8_t>(bad[i] ^ flip);
      Reseal(bad);
      const auto part = ParsePart(bad);
      if (!part.ok()) {
        EXPECT_EQ(part.status().code(), Code::kCorruption);
        continue;
      }
      for (const Entry& entry : part->entries) {
        base::Bytes out(part->header.page_size);
        const base::Bytes base_image(part->header.page_size, 'x');
        if (decoder.Decode(entry, base_image, out).ok()) {
          EXPECT_EQ(HashPage(entry.page, out), entry.hash);
        }
      }
    }
  }
}

TEST(Record, EveryShorterPartIsRefused) {
  TestDatabase database;
  database.Mount();
  const base::Bytes good = database.Commit().parts[0];
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(ParsePart(base::ByteView(good).first(length)).ok());
  }
}

TEST(Record, PartLengthRefusesALongPartBeforeAnythingIsRead) {
  TestDatabase database;
  base::Bytes part = database.Mount().parts[0];
  base::StoreLe(part.data() + 8, kPartBytesMax + 1);
  EXPECT_EQ(PartLength(part).status().code(), Code::kCorruption);
  base::StoreLe(part.data() + 4, uint16_t{9});
  EXPECT_NE(PartLength(part).status().message().find("version 9"), std::string::npos);
}

TEST(EntryDecoder, SeesAWrongBase) {
  TestDatabase database;
  database.Mount();
  base::Bytes image = database.RandomImage();
  database.Write({{1, image}}, 1, 0);
  image[7] ^= 1;
  const Record record = database.Write({{1, image}}, 1, 0);
  const auto part = ParsePart(record.parts[0]);
  ASSERT_TRUE(part.ok());
  ASSERT_EQ(part->entries[0].encoding, Encoding::kDelta);
  EntryDecoder decoder;
  base::Bytes out(1024);
  EXPECT_EQ(decoder.Decode(part->entries[0], {}, out).code(), Code::kCorruption);
  EXPECT_EQ(decoder.Decode(part->entries[0], base::Bytes(1024, 'q'), out).code(),
            Code::kCorruption);
  image[7] ^= 1;
  EXPECT_TRUE(decoder.Decode(part->entries[0], image, out).ok());
}

// docs/formats/log.md explains these parts byte by byte; a change of the format shows here first.
// The second is only read: another version of zstd may write it differently.
constexpr char kMountHex[] =
    "55524543010007005100000007070707070707070707070707070707"
    "00000000000000000001010081d095ffbc310900000000000000000000"
    "0100000002000000010000000300000004000000f8bd0767";
constexpr char kCommitHex[] =
    "55524543010003006900000007070707070707070707070707070707"
    "00000000000000000001020082d095ffbc3109010122c1f8fef6807f55"
    "0100000002000000020000000300000004000000"
    "013a22c1f8fef6807f5500004d00001061610100fb2ac00287fb05c6";

TEST(Record, TestVectorsOfTheFormatDocument) {
  TestDatabase database(512);
  EXPECT_EQ(base::HexEncode(database.Mount().parts[0]), kMountHex);

  base::Bytes commit(sizeof kCommitHex / 2);
  ASSERT_TRUE(base::HexDecode(kCommitHex, commit));
  TestCopy copy;
  const auto part = ParsePart(commit);
  ASSERT_TRUE(part.ok()) << part.status().ToString();
  ASSERT_TRUE(copy.Apply(*part).ok());
  EXPECT_EQ(copy.images()[1], base::Bytes(512, 'a'));
}

}  // namespace
}  // namespace understudy::log
