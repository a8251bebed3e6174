// SPDX-License-Identifier: Apache-2.0
#include "sqlite/database_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sqlite/connection.h"
#include "testing/temp_dir.h"

namespace understudy::sqlite {
namespace {

using testing::HasSubstr;

class DatabaseCheck : public testing::Test {
 protected:
  std::unique_ptr<Connection> Open() {
    auto connection = Connection::Open(path_, {.create = true, .vfs = ""});
    CHECK(connection.ok());
    return std::move(connection).value();
  }
  void Make(const std::string& sql) { ASSERT_TRUE(Open()->Execute(sql).ok()); }
  void Write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }
  void Patch(std::streamoff at, char byte) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(byte);
  }
  base::Status Check(bool set_wal_mode = false) {
    return CheckDatabase(env::PosixEnv(), path_,
                         {.set_wal_mode = set_wal_mode, .busy_timeout = base::Duration{0}})
        .status();
  }
  void ExpectRefused(base::Code code, const std::string& words) {
    const base::Status status = Check();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(words));
    EXPECT_THAT(status.message(), HasSubstr(path_));
  }

  test::TempDir directory_;
  std::string path_ = directory_.File("a.db");
};

TEST_F(DatabaseCheck, AcceptsAWalDatabase) {
  Make("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  auto facts = CheckDatabase(env::PosixEnv(), path_, {});
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_EQ(facts->page_size, 8192U);
  EXPECT_FALSE(facts->converted_to_wal);
}

TEST_F(DatabaseCheck, NamesAFileThatIsNotThere) { ExpectRefused(base::Code::kNotFound, ""); }

TEST_F(DatabaseCheck, RefusesADirectory) {
  std::filesystem::create_directory(path_);
  ExpectRefused(base::Code::kInvalidArgument, "is a directory");
}

TEST_F(DatabaseCheck, RefusesAnEmptyFile) {
  Write("");
  ExpectRefused(base::Code::kInvalidArgument, "is empty");
}

TEST_F(DatabaseCheck, RefusesAFileThatIsNotSqlite) {
  Write(std::string(8192, 'x'));
  ExpectRefused(base::Code::kInvalidArgument, "is not an SQLite database");
  Write("short");
  ExpectRefused(base::Code::kInvalidArgument, "is not an SQLite database");
}

TEST_F(DatabaseCheck, RefusesAnImpossiblePageSize) {
  Make("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  Patch(16, 3);
  ExpectRefused(base::Code::kCorruption, "impossible page size");
}

TEST_F(DatabaseCheck, RefusesARollbackJournalOrConvertsIt) {
  Make("CREATE TABLE t(a)");
  ExpectRefused(base::Code::kInvalidArgument, "PRAGMA journal_mode=WAL");
  EXPECT_TRUE(Check(true).ok());
  EXPECT_EQ(*Open()->QueryText("PRAGMA journal_mode"), "wal");
}

TEST_F(DatabaseCheck, RefusesTheReadOnlyMark) {
  Make("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  Patch(18, 3);
  ExpectRefused(base::Code::kInvalidArgument, "read-only");
}

TEST_F(DatabaseCheck, SaysThatAnExclusiveLockIsInTheWay) {
  auto holder = Open();
  ASSERT_TRUE(holder->Execute("PRAGMA locking_mode=EXCLUSIVE").ok());
  ASSERT_TRUE(holder->Execute("PRAGMA journal_mode=WAL; CREATE TABLE t(a)").ok());
  ExpectRefused(base::Code::kBusy, "EXCLUSIVE");
}

}  // namespace
}  // namespace understudy::sqlite
