// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <unordered_set>

namespace understudy::base {
namespace {

TEST(Ids, DifferentKindsDoNotConvert) {
  EXPECT_FALSE((std::is_convertible_v<Term, Seq>));
  EXPECT_FALSE((std::is_convertible_v<uint64_t, Term>));
  EXPECT_FALSE((std::is_constructible_v<Seq, Term>));
  EXPECT_EQ(Seq(4).Next(), Seq(5));
  EXPECT_EQ((std::unordered_set<Seq>{Seq(1), Seq(1), Seq(2)}.size()), 2u);
}

TEST(Position, ComparesTermBeforeSeqAndPrintsBoth) {
  EXPECT_LT((Position{Term(1), Seq(9)}), (Position{Term(2), Seq(1)}));
  EXPECT_LT((Position{Term(2), Seq(1)}), (Position{Term(2), Seq(2)}));
  EXPECT_EQ(ToString(Position{Term(3), Seq(1742)}), "3.1742");
}

TEST(Generation, IsPrintedAsSixteenHexDigits) {
  EXPECT_EQ(ToString(Generation(31)), "000000000000001f");
  EXPECT_EQ(ToString(Generation(~0ULL)), "ffffffffffffffff");
}

TEST(DatabaseId, RoundTripsThroughHexAndRefusesAnythingElse) {
  const std::string hex = "00112233445566778899aabbccddeeff";
  const auto id = DatabaseId::FromHex(hex);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(id->ToHex(), hex);
  for (const std::string& bad : {std::string(), hex + "0", hex.substr(1), "x" + hex.substr(1)}) {
    const Status refused = DatabaseId::FromHex(bad).status();
    EXPECT_EQ(refused.code(), Code::kInvalidArgument);
    EXPECT_NE(refused.message().find("'" + bad + "'"), std::string::npos);
  }
}

TEST(CheckName, AcceptsLettersDigitsAndInnerPunctuation) {
  for (const char* good : {"a", "orders", "s1", "Mail_store-2.eu", "_x", "9"}) {
    EXPECT_TRUE(CheckName("database name", good).ok()) << good;
  }
  EXPECT_TRUE(CheckName("database name", std::string(kNameBytesMax, 'a')).ok());
}

TEST(CheckName, RefusesWhatCouldBeAPathAnOptionOrHidden) {
  for (const char* bad :
       {"", ".", "..", ".hidden", "-o", "a/b", "../x", "a b", "a\nb", "ä", "a:b"}) {
    const Status refused = CheckName("database name", bad);
    EXPECT_EQ(refused.code(), Code::kInvalidArgument) << bad;
    EXPECT_NE(refused.message().find("database name"), std::string::npos);
  }
  EXPECT_FALSE(CheckName("server name", std::string(kNameBytesMax + 1, 'a')).ok());
  EXPECT_FALSE(CheckName("server name", std::string_view("a\0b", 3)).ok());
}

}  // namespace
}  // namespace understudy::base
