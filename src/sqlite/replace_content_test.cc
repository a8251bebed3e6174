// SPDX-License-Identifier: Apache-2.0
#include "sqlite/replace_content.h"

#include <gtest/gtest.h>

#include "sqlite/connection.h"
#include "testing/temp_dir.h"

namespace understudy::sqlite {
namespace {

class ReplaceContentTest : public ::testing::Test {
 protected:
  std::unique_ptr<Connection> Make(const std::string& name, const std::string& sql) {
    auto db = Connection::Open(directory_.File(name), {.create = true}).value();
    EXPECT_TRUE(db->Execute(sql).ok());
    return db;
  }
  base::Status Replace() {
    return ReplaceContent({.destination = directory_.File("live.db"),
                           .source = directory_.File("old.db"),
                           .busy_timeout = std::chrono::milliseconds(50)});
  }
  test::TempDir directory_;
};

TEST_F(ReplaceContentTest, OpenConnectionsSeeTheOtherContentAndItsSchema) {
  const auto live = Make("live.db",
                         "PRAGMA journal_mode=WAL; CREATE TABLE t(x); CREATE TABLE new(y);"
                         "INSERT INTO t VALUES(1);");
  Make("old.db", "CREATE TABLE t(x, z DEFAULT 7); INSERT INTO t(x) VALUES(5),(6)");
  ASSERT_EQ(live->QueryInt("SELECT count(*) FROM new").value(), 0);
  const base::Status replaced = Replace();
  ASSERT_TRUE(replaced.ok()) << replaced.ToString();
  EXPECT_EQ(live->QueryInt("SELECT sum(x * z) FROM t").value(), 77);
  EXPECT_FALSE(live->QueryInt("SELECT count(*) FROM new").ok());
  EXPECT_EQ(live->QueryText("PRAGMA journal_mode").value(), "wal");
  EXPECT_EQ(live->QueryText("PRAGMA integrity_check").value(), "ok");
  EXPECT_TRUE(live->Execute("INSERT INTO t(x) VALUES(1)").ok());
}

TEST_F(ReplaceContentTest, AWriterInTheWayIsBusyAndNothingChanges) {
  const auto live =
      Make("live.db", "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1);");
  Make("old.db", "CREATE TABLE t(x)");
  ASSERT_TRUE(live->Execute("BEGIN IMMEDIATE; INSERT INTO t VALUES(2)").ok());
  EXPECT_EQ(Replace().code(), base::Code::kBusy);
  ASSERT_TRUE(live->Execute("COMMIT").ok());
  EXPECT_EQ(live->QueryInt("SELECT count(*) FROM t").value(), 2);
}

TEST_F(ReplaceContentTest, OtherPageSizesAreRefused) {
  Make("live.db", "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE t(x);");
  Make("old.db", "PRAGMA page_size=1024; CREATE TABLE t(x)");
  EXPECT_EQ(Replace().code(), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace understudy::sqlite
