// SPDX-License-Identifier: Apache-2.0
// Sizes, durations, widths, tables and suggestions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/human.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/text_width.h"

namespace understudy::cli {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Human, FormatsBytesWithBinaryUnitsAndAtMostThreeDigits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(327'155'712), "312 MiB");
  EXPECT_EQ(FormatBytes(1'048'575), "1 MiB") << "never 1024 KiB";
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16384 PiB");
}

TEST(Human, FormatsRatesThatAreNumbersOnly) {
  EXPECT_EQ(FormatRate(88'289'280), "84.2 MiB/s");
  EXPECT_EQ(FormatRate(-1), "-");
  EXPECT_EQ(FormatRate(std::numeric_limits<double>::infinity()), "-");
}

TEST(Human, FormatsDurationsOfEveryLength) {
  EXPECT_EQ(FormatDuration(microseconds(400)), "0.40 ms");
  EXPECT_EQ(FormatDuration(milliseconds(850)), "850 ms");
  EXPECT_EQ(FormatDuration(milliseconds(12'340)), "12.3 s");
  EXPECT_EQ(FormatDuration(seconds(125)), "2 min 05 s");
  EXPECT_EQ(FormatDuration(hours(3) + seconds(725)), "3 h 12 min");
  EXPECT_EQ(FormatDuration(hours(49)), "2 d 01 h");
  EXPECT_EQ(FormatDuration(base::Duration(0)), "0 ms");
}

TEST(Human, GroupsDigits) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1'742'019), "1,742,019");
}

TEST(Human, ParsesSizesThatPeopleWrite) {
  EXPECT_EQ(ParseBytes("512").value(), 512u);
  EXPECT_EQ(ParseBytes("64K").value(), 65536u);
  EXPECT_EQ(ParseBytes("10 MiB").value(), 10u << 20);
  EXPECT_EQ(ParseBytes("1.5gb").value(), 3u << 29);
}

TEST(Human, RefusesWhatIsNoSize) {
  for (const char* text : {"", "x", "-1", "1Q", "1e400", "nan", "inf", "9999999999P", "5 K iB"}) {
    EXPECT_EQ(ParseBytes(text).status().code(), base::Code::kInvalidArgument) << text;
  }
}

TEST(Human, ParsesDurationsAndTakesBareNumbersAsSeconds) {
  EXPECT_EQ(ParseDuration("30").value(), seconds(30));
  EXPECT_EQ(ParseDuration("500ms").value(), milliseconds(500));
  EXPECT_EQ(ParseDuration("1.5s").value(), milliseconds(1500));
  EXPECT_EQ(ParseDuration("2h").value(), hours(2));
}

TEST(Human, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "soon", "-5s", "5 weeks", "99999999d", "inf"}) {
    EXPECT_EQ(ParseDuration(text).status().code(), base::Code::kInvalidArgument) << text;
  }
}

TEST(TextWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("mail"), 4u);
  EXPECT_EQ(DisplayWidth("Zürich"), 6u);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1u) << "a combining accent takes no column";
  EXPECT_EQ(DisplayWidth("東京"), 4u);
  EXPECT_EQ(DisplayWidth("\xff\xfe"), 2u) << "invalid bytes count one each";
  EXPECT_EQ(DisplayWidth("\xe6\x9d"), 2u) << "a sequence that ends too early";
}

TEST(TextWidth, MakesHostileNamesHarmless) {
  EXPECT_EQ(Printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(Printable("\xc2\x9b"), "?") << "an 8-bit control sequence introducer";
  EXPECT_EQ(Printable("\xc0\xaf"), "??") << "an overlong form";
  EXPECT_EQ(Printable("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(Printable("東京 ü"), "東京 ü");
}

const std::vector<Column> kColumns = {{"name"},
                                      {"state", CellKind::kState},
                                      {"copy_queue", CellKind::kNumber},
                                      {"size", CellKind::kBytes},
                                      {"passive", CellKind::kList}};

TEST(Table, LinesUpForNamesOfAnyScript) {
  const Json rows = {{{"name", "東京"},
                      {"state", "Healthy"},
                      {"copy_queue", 1234},
                      {"size", 2048},
                      {"passive", {"s2", "s3"}}},
                     {{"name", "Zürich"}, {"state", "Failed"}, {"copy_queue", 0}}};
  EXPECT_EQ(RenderTable(rows, kColumns, {}),
            "NAME    STATE    COPY QUEUE   SIZE  PASSIVE\n"
            "東京    Healthy       1,234  2 KiB  s2, s3\n"
            "Zürich  Failed            0      -  -\n");
}

TEST(Table, ColoursStatesWithoutMovingColumns) {
  const Json rows = {{{"name", "a"}, {"state", "Healthy"}}, {{"name", "b"}, {"state", "Failed"}}};
  const std::string text =
      RenderTable(rows, {{"state", CellKind::kState}, {"name"}}, {.colour = true});
  EXPECT_THAT(text, testing::HasSubstr("\x1b[32mHealthy\x1b[0m  a"));
  EXPECT_THAT(text, testing::HasSubstr("\x1b[31mFailed\x1b[0m   b"));
}

TEST(Table, ShowsAbsentNullAndEmptyValuesAsADash) {
  const Json row = {{"name", ""}, {"state", nullptr}};
  for (const Column& column : kColumns) EXPECT_EQ(RenderCell(row, column), "-") << column.key;
}

TEST(Table, RendersEveryJsonTypeWithoutThrowing) {
  const std::vector<Json> values = {nullptr, true, -3, 3u, 2.5, "text", Json::array(), {{"k", 1}}};
  for (const Json& value : values) {
    for (const CellKind kind : {CellKind::kText, CellKind::kNumber, CellKind::kBytes,
                                CellKind::kDuration, CellKind::kState, CellKind::kList}) {
      EXPECT_FALSE(RenderCell(Json{{"k", value}}, {"k", kind}).empty()) << value;
    }
  }
}

TEST(Table, FieldsLineUp) {
  const Json object = {{"name", "mail"}, {"copy_queue", 12}};
  EXPECT_EQ(RenderFields(object, {{"name"}, {"copy_queue", CellKind::kNumber}}, {}),
            "name        mail\ncopy queue  12\n");
}

TEST(Suggest, FindsTheSlipOfTheFingersAndNothingElse) {
  const std::vector<std::string> names = {"status", "server", "db", "copy", "backup"};
  EXPECT_EQ(Nearest("stauts", names), "status");
  EXPECT_EQ(Nearest("bakcup", names), "backup");
  EXPECT_EQ(Nearest("frobnicate", names), "");
  EXPECT_EQ(Nearest("xx", names), "") << "two edits make any two letters into db";
}

TEST(Suggest, SkipsOptionsAndTheirValues) {
  EXPECT_EQ(FirstUnknownWord({"-o", "json", "frob"}, "understudy"), "frob");
  EXPECT_EQ(FirstUnknownWord({"--server", "a:1", "db", "ad", "x"}, "understudy db"), "ad");
  EXPECT_EQ(FirstUnknownWord({"db"}, "understudy db"), "");
}

}  // namespace
}  // namespace understudy::cli
