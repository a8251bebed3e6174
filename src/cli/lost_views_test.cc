// SPDX-License-Identifier: Apache-2.0
#include "cli/lost_views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::LostBundle Bundle() {
  v1::LostBundle bundle;
  bundle.set_id("20260101T000000Z-5.1742");
  bundle.set_database("mail");
  bundle.set_server("s2");
  bundle.set_records(9);
  bundle.mutable_first()->set_seq(1742);
  bundle.mutable_last()->set_seq(1800);
  bundle.mutable_last()->set_term(5);
  bundle.set_newer_term(6);
  bundle.set_database_bytes(8192);
  bundle.set_bytes(9000);
  return bundle;
}

v1::ShowLostResponse Shown() {
  v1::ShowLostResponse shown;
  *shown.mutable_bundle() = Bundle();
  shown.set_manifest(R"({"version":1})");
  v1::LostRecord* const record = shown.add_records();
  record->mutable_first()->set_seq(1742);
  record->mutable_last()->set_seq(1750);
  record->mutable_last()->set_term(5);
  record->set_commit_ms(1'767'225'600'125);
  record->set_pages(3);
  shown.set_compared(true);
  shown.mutable_copy_at()->set_term(6);
  shown.mutable_copy_at()->set_seq(1900);
  v1::TableDifference* const table = shown.add_tables();
  table->set_table("t");
  table->add_columns("id");
  table->add_columns("word");
  table->set_only_in_bundle(1234);
  table->set_changed(1);
  v1::RowDifference* row = table->add_rows();
  row->set_kind("only in bundle");
  row->add_bundle("7");
  row->add_bundle("'lo\x1bst'");
  row = table->add_rows();
  row->set_kind("changed");
  row->add_bundle("8");
  row->add_bundle("'a'");
  row->add_copy("8");
  row->add_copy("'b'");
  v1::TableDifference* const other = shown.add_tables();
  other->set_table("u");
  other->set_not_compared("it took too long");
  return shown;
}

TEST(LostViews, TheListNamesWhoDidNotAnswerAndWhatIsDamaged) {
  v1::ListLostResponse answer;
  *answer.add_bundles() = Bundle();
  v1::LostBundle* const damaged = answer.add_bundles();
  damaged->set_id("20260102T000000Z-5.1");
  damaged->set_damaged("manifest.json is damaged");
  answer.add_silent()->set_server("s3");
  answer.mutable_silent(0)->set_why("it is down");
  const Json list = LostListJson(answer);
  EXPECT_EQ(list["bundles"][0]["commits"], 59);
  EXPECT_EQ(list["bundles"][0]["newer_term"], 6);
  EXPECT_EQ(list["bundles"][1]["database_size"], nullptr);
  EXPECT_EQ(list["silent"][0]["server"], "s3");
  const std::string text = RenderLostList(list, {});
  EXPECT_THAT(text, HasSubstr("20260101T000000Z-5.1742  mail"));
  EXPECT_THAT(text, HasSubstr("20260102T000000Z-5.1: damaged: manifest.json is damaged\n"));
  EXPECT_THAT(text, HasSubstr("s3: does not answer, so it may have more: it is down\n"));
  EXPECT_EQ(RenderLostList(LostListJson({}), {}), "No lost log is kept.\n");
}

TEST(LostViews, OneIsToldWithRecordsRowsAndWhatTheyMean) {
  const Json lost = LostShowJson(Shown());
  EXPECT_EQ(lost["manifest"]["version"], 1);
  EXPECT_EQ(lost["lost_records"][0]["committed"], "2026-01-01T00:00:00.125Z");
  EXPECT_EQ(lost["differences"][0]["rows"][1]["copy"]["word"], "'b'");
  EXPECT_EQ(lost["differences"][0]["rows"][0]["copy"], nullptr);
  EXPECT_EQ(lost["note"], kLostNote);
  const std::string text = RenderLostShow(lost, {});
  EXPECT_THAT(text, HasSubstr("Lost records (1 of 9):\n"));
  EXPECT_THAT(text, HasSubstr("against the copy of mail on s2, at 6.1900. The copy has gone on"));
  EXPECT_THAT(text, HasSubstr("table t: 1,234 rows only in the bundle, 0 only in the copy, 1 "));
  EXPECT_THAT(text, HasSubstr("  only in bundle  id=7, word='lo?st'\n"));
  EXPECT_THAT(text, HasSubstr("  changed         id=8, word='a' (copy: 'b')\n"));
  EXPECT_THAT(text, HasSubstr("table u: not compared: it took too long\n"));
}

TEST(LostViews, WithoutAComparisonItSaysWhy) {
  v1::ShowLostResponse shown = Shown();
  shown.set_compared(false);
  shown.set_not_compared("the bundle has no database: it is large");
  shown.set_manifest("no JSON");
  const Json lost = LostShowJson(shown);
  EXPECT_EQ(lost["differences"], nullptr);
  EXPECT_EQ(lost["note"], nullptr);
  EXPECT_EQ(lost["manifest"], nullptr);
  const std::string text = RenderLostShow(lost, {});
  EXPECT_THAT(text, HasSubstr("were not compared with the copy of mail on s2: the bundle has no"));
  EXPECT_THAT(text, Not(HasSubstr("gone on")));
}

}  // namespace
}  // namespace understudy::cli
