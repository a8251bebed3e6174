// SPDX-License-Identifier: Apache-2.0
#include "sqlite/row_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "sqlite/connection.h"
#include "testing/temp_dir.h"

namespace understudy::sqlite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = RowDifference::Kind;

class RowDifferenceTest : public ::testing::Test {
 protected:
  void Run(const std::string& path, const std::string& sql) {
    auto db = Connection::Open(path, {.create = true});
    ASSERT_TRUE(db.ok()) << db.status().ToString();
    const base::Status done = (*db)->Execute(sql);
    ASSERT_TRUE(done.ok()) << done.ToString();
  }
  void Both(const std::string& sql) {
    Run(first_, sql);
    Run(second_, sql);
  }
  std::vector<TableDifference> Compare(uint32_t rows_max = 10) {
    auto found =
        CompareRows(env::PosixEnv(), {.first = first_, .second = second_, .rows_max = rows_max});
    EXPECT_TRUE(found.ok()) << found.status().ToString();
    return found.ok() ? *found : std::vector<TableDifference>();
  }

  test::TempDir directory_;
  const std::string first_ = directory_.File("first.db");
  const std::string second_ = directory_.File("second.db");
};

TEST_F(RowDifferenceTest, TellsRowsOfOneSideAndRowsWithOtherValues) {
  Both(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, word, body);"
      "INSERT INTO t VALUES(1, 'same', x'00'), (2, 'one', NULL), (3, 'gone', 3.5);"
      "CREATE TABLE equal(a); INSERT INTO equal VALUES(1)");
  Run(first_, "INSERT INTO t VALUES(7, 'lost', x'abcd'); UPDATE t SET word = 'other' WHERE id = 2");
  Run(second_, "DELETE FROM t WHERE id = 3; INSERT INTO t VALUES(8, 'it''s new', 1)");
  const auto found = Compare();
  ASSERT_EQ(found.size(), 1u);
  const TableDifference& t = found[0];
  EXPECT_EQ(t.table, "t");
  EXPECT_THAT(t.columns, ElementsAre("id", "word", "body"));
  EXPECT_EQ(t.not_compared, "");
  EXPECT_EQ(t.only_first, 2u);
  EXPECT_EQ(t.only_second, 1u);
  EXPECT_EQ(t.changed, 1u);
  ASSERT_EQ(t.rows.size(), 4u);
  EXPECT_THAT(t.rows[0].first, ElementsAre("3", "'gone'", "3.5"));
  EXPECT_THAT(t.rows[1].first, ElementsAre("7", "'lost'", "X'ABCD'"));
  EXPECT_TRUE(t.rows[1].second.empty());
  EXPECT_EQ(t.rows[2].kind, Kind::kOnlySecond);
  EXPECT_TRUE(t.rows[2].first.empty());
  EXPECT_THAT(t.rows[2].second, ElementsAre("8", "'it''s new'", "1"));
  EXPECT_EQ(t.rows[3].kind, Kind::kChanged);
  EXPECT_THAT(t.rows[3].first, ElementsAre("2", "'other'", "NULL"));
  EXPECT_THAT(t.rows[3].second, ElementsAre("2", "'one'", "NULL"));
}

TEST_F(RowDifferenceTest, MatchesByAnyKeyAndByRowidWithoutOne) {
  Both(
      "CREATE TABLE pair(a TEXT, b TEXT, v, PRIMARY KEY(a, b)) WITHOUT ROWID;"
      "CREATE TABLE loose(rowid TEXT, v); CREATE TABLE nocase(k TEXT COLLATE NOCASE PRIMARY KEY);"
      "INSERT INTO pair VALUES('x', 'y', 1), ('x', 'z', 2); INSERT INTO loose VALUES('r', 1);"
      "INSERT INTO nocase VALUES('k')");
  Run(first_,
      "UPDATE pair SET v = 9 WHERE b = 'z'; UPDATE loose SET v = 2;"
      "UPDATE nocase SET k = 'K'");
  const auto found = Compare();
  ASSERT_EQ(found.size(), 3u);
  for (const TableDifference& table : found) {
    EXPECT_EQ(table.changed, 1u) << table.table << table.not_compared;
    EXPECT_EQ(table.only_first + table.only_second, 0u) << table.table;
  }
}

TEST_F(RowDifferenceTest, CutsLongValuesAndManyRowsButCountsAll) {
  Both("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
  Run(first_,
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50)"
      "INSERT INTO t SELECT i, zeroblob(1000000) FROM n");
  const auto found = Compare(3);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].only_first, 50u);
  ASSERT_EQ(found[0].rows.size(), 3u);
  EXPECT_LT(found[0].rows[0].first[1].size(), 2 * kDifferenceValueBytesMax + 10);
  EXPECT_THAT(found[0].rows[0].first[1], HasSubstr("00'…"));
}

TEST_F(RowDifferenceTest, SaysWhatItDoesNotCompare) {
  Run(first_,
      "CREATE TABLE a(x); CREATE TABLE c(x); CREATE TABLE \"odd \"\" name\"(x);"
      "CREATE VIRTUAL TABLE v USING fts5(x); INSERT INTO c VALUES(1)");
  Run(second_,
      "CREATE TABLE b(x); CREATE TABLE c(y); CREATE TABLE \"odd \"\" name\"(x);"
      "INSERT INTO \"odd \"\" name\" VALUES(1)");
  std::map<std::string, TableDifference> by_name;
  for (const TableDifference& table : Compare()) by_name[table.table] = table;
  EXPECT_THAT(by_name["a"].not_compared, HasSubstr("only the first"));
  EXPECT_THAT(by_name["b"].not_compared, HasSubstr("only the second"));
  EXPECT_THAT(by_name["c"].not_compared, HasSubstr("columns"));
  EXPECT_EQ(by_name["odd \" name"].only_second, 1u);
  EXPECT_FALSE(by_name.contains("v"));
}

TEST_F(RowDifferenceTest, EndsInTime) {
  Both("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
  Run(first_, "INSERT INTO t VALUES(1, 1)");
  const auto found = CompareRows(env::PosixEnv(),
                                 {.first = first_, .second = second_, .limit = base::Duration(0)});
  if (!found.ok()) return;  // stopped before it knew the tables
  ASSERT_EQ(found->size(), 1u);
  EXPECT_THAT((*found)[0].not_compared, HasSubstr("time"));
}

TEST_F(RowDifferenceTest, ReadsWhileTheSecondIsWrittenAndMakesNoDatabase) {
  Both("PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY)");
  auto writer = Connection::Open(second_, {});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)").ok());
  EXPECT_TRUE(Compare().empty());
  ASSERT_TRUE((*writer)->Execute("COMMIT").ok());
  EXPECT_EQ(Compare().size(), 1u);
  const std::string none = directory_.File("none.db");
  EXPECT_EQ(CompareRows(env::PosixEnv(), {.first = first_, .second = none}).status().code(),
            base::Code::kNotFound);
  EXPECT_FALSE(env::Exists(env::PosixEnv(), none));
}

TEST_F(RowDifferenceTest, RefusesWhatIsNoDatabase) {
  Run(first_, "CREATE TABLE t(x)");
  std::ofstream(second_) << "this is no database, and long enough to be looked at as one. "
                         << std::string(1000, 'x');
  EXPECT_FALSE(CompareRows(env::PosixEnv(), {.first = first_, .second = second_}).ok());
}

}  // namespace
}  // namespace understudy::sqlite
