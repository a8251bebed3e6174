// SPDX-License-Identifier: Apache-2.0
#include "log/record_chain.h"

#include <gtest/gtest.h>

#include "log/generation_file.h"
#include "log/test_records.h"

namespace understudy::log {
namespace {

using base::Code;

PartHeader Header(uint64_t term, uint64_t seq, uint64_t before, uint64_t after,
                  uint16_t flags = kPartFirst | kPartLast) {
  return {.flags = flags,
          .term = base::Term(term),
          .seq_first = base::Seq(seq),
          .seq_last = base::Seq(seq),
          .page_size = 512,
          .pages_after = 1,
          .checksum_before = before,
          .checksum_after = after};
}

RecordChain AfterTwo() {
  RecordChain chain;
  chain.Advance(Header(1, 1, 10, 10, kPartFirst | kPartLast | kRecordMount), 0, {});
  chain.Advance(Header(1, 2, 10, 20), 0, {});
  return chain;
}

TEST(RecordChain, TakesOnlyTheNextSeq) {
  const RecordChain chain = AfterTwo();
  EXPECT_TRUE(chain.Check(Header(1, 3, 20, 30)).ok());
  EXPECT_EQ(chain.Check(Header(1, 4, 20, 30)).code(), Code::kLogGap);
  EXPECT_EQ(chain.Check(Header(1, 2, 10, 20)).code(), Code::kAlreadyExists);
}

TEST(RecordChain, TermRisesOnlyAtAMountAndNeverFalls) {
  RecordChain chain = AfterTwo();
  constexpr uint16_t kMount = kPartFirst | kPartLast | kRecordMount;
  EXPECT_EQ(chain.Check(Header(2, 3, 20, 30)).code(), Code::kFenced);
  EXPECT_EQ(chain.Check(Header(1, 3, 20, 20, kMount)).code(), Code::kFenced);
  ASSERT_TRUE(chain.Check(Header(5, 3, 20, 20, kMount)).ok());
  chain.Advance(Header(5, 3, 20, 20, kMount), 0, {});
  EXPECT_EQ(chain.Check(Header(4, 4, 20, 30)).code(), Code::kFenced);
}

TEST(RecordChain, AnotherChecksumBeforeIsDivergence) {
  EXPECT_EQ(AfterTwo().Check(Header(1, 3, 21, 30)).code(), Code::kDiverged);
}

TEST(RecordChain, PageSizeNeverChanges) {
  PartHeader header = Header(1, 3, 20, 30);
  header.page_size = 1024;
  EXPECT_EQ(AfterTwo().Check(header).code(), Code::kDiverged);
}

TEST(RecordChain, PartsOfARecordComeInOrderAndBelongTogether) {
  RecordChain chain = AfterTwo();
  PartHeader middle = Header(1, 3, 20, 0, 0);
  middle.part = 1;
  EXPECT_EQ(chain.Check(middle).code(), Code::kInvalidArgument);
  chain.Advance(Header(1, 3, 20, 0, kPartFirst), 99, {});
  EXPECT_EQ(chain.end().position.seq, base::Seq(2));
  EXPECT_EQ(chain.open()->last_crc, 99u);
  EXPECT_TRUE(chain.Check(middle).ok());
  EXPECT_EQ(chain.Check(Header(1, 3, 20, 30)).code(), Code::kInvalidArgument);  // part 0 again
  PartHeader other = middle;
  other.commit_time.unix_ms = 5;
  EXPECT_EQ(chain.Check(other).code(), Code::kInvalidArgument);
  chain.DropOpen();
  EXPECT_TRUE(chain.Check(Header(1, 3, 20, 30)).ok());
}

TEST(RecordChain, EmptyTakesAnyStartButPartZero) {
  const RecordChain chain;
  EXPECT_TRUE(chain.Check(Header(7, 1000, 5, 6)).ok());
  EXPECT_FALSE(chain.Check(Header(7, 1000, 5, 6, kPartLast)).ok() &&
               Header(7, 1000, 5, 6, kPartLast).first());
  EXPECT_EQ(StateBefore(Header(7, 1000, 5, 6)).position,
            (base::Position{base::Term(7), base::Seq(999)}));
}

TEST(GenerationHeader, ComesBackWithAnOpenRecord) {
  RecordChain chain = AfterTwo();
  PartHeader first = Header(1, 3, 20, 0, kPartFirst | kRecordHealing);
  first.seq_last = base::Seq(9);
  chain.Advance(first, 0xabcd, base::Generation(4));
  const GenerationHeader header{.database = TestId(),
                                .number = base::Generation(0x1f),
                                .created = {123},
                                .before = chain,
                                .previous = base::Generation(0x1e),
                                .previous_bytes = 777};
  const base::Bytes bytes = EncodeGenerationHeader(header);
  ASSERT_EQ(bytes.size(), kGenerationHeaderBytes);
  const auto back = ParseGenerationHeader(bytes);
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(EncodeGenerationHeader(*back), bytes);
  EXPECT_EQ(back->seq_before(), base::Seq(9));
  EXPECT_EQ(back->before.end(), chain.end());
  PartHeader next = first;
  next.flags = kPartLast | kRecordHealing;
  next.part = 1;
  EXPECT_TRUE(back->before.Check(next).ok());
  next.flags = kPartLast;
  EXPECT_FALSE(back->before.Check(next).ok());
}

TEST(GenerationHeader, EveryFlippedByteIsSeen) {
  const base::Bytes good = EncodeGenerationHeader({.database = TestId()});
  for (size_t i = 0; i < good.size(); ++i) {
    base::Bytes bad = good;
    bad[i] ^= 0x10;
    EXPECT_EQ(ParseGenerationHeader(bad).status().code(), Code::kCorruption) << "byte " << i;
  }
}

TEST(GenerationName, OnlyTheExactFormIsAName) {
  EXPECT_EQ(GenerationName(base::Generation(0x1f)), "000000000000001f.ulog");
  EXPECT_EQ(GenerationOfName("000000000000001f.ulog"), base::Generation(0x1f));
  for (const char* name : {"1f.ulog", "000000000000001F.ulog", "000000000000001f.ulog.tmp",
                           "000000000000001g.ulog", ""}) {
    EXPECT_FALSE(GenerationOfName(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace understudy::log
