// SPDX-License-Identifier: Apache-2.0
// SQLite itself on a file system in memory: that it works at all, that locks and snapshots are as
// on a disk, and that it loses at a power cut what it may lose.
#include "sqlite/env_vfs.h"

#include <gtest/gtest.h>

#include "sqlite/connection.h"
#include "testing/mem_env.h"

namespace understudy::sqlite {
namespace {

class EnvVfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(env_.MakeDirectories("/d").ok());
    Boot();
  }
  void Boot() { vfs_ = std::make_unique<EnvVfs>(env_); }
  std::unique_ptr<Connection> Connect() {
    auto opened = Connection::Open("/d/db", {.create = true, .vfs = vfs_->name()});
    CHECK(opened.ok());
    return std::move(opened).value();
  }
  static void Ok(const base::Status& status) { ASSERT_TRUE(status.ok()) << status.ToString(); }

  test::MemEnv env_;
  std::unique_ptr<EnvVfs> vfs_;
};

TEST_F(EnvVfsTest, RunsRollbackAndWalDatabases) {
  for (const char* mode : {"delete", "wal"}) {
    auto db = Connect();
    EXPECT_EQ(db->QueryText(std::string("PRAGMA journal_mode=") + mode).value(), mode);
    Ok(db->Execute("CREATE TABLE IF NOT EXISTS t(a)"));
    Ok(
        db->Execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) "
                    "INSERT INTO t SELECT randomblob(100) FROM n"));
    Ok(db->Execute("CREATE INDEX IF NOT EXISTS t_a ON t(a)"));
    Ok(db->Execute("VACUUM"));
    EXPECT_EQ(db->QueryText("PRAGMA integrity_check").value(), "ok");
  }
  EXPECT_FALSE(env::Exists(env_, "/d/db-wal"));  // the last close removed it
  EXPECT_EQ(Connect()->QueryInt("SELECT count(*) FROM t").value(), 40000);
}

TEST_F(EnvVfsTest, LocksAsADiskDoes) {
  auto a = Connect();
  Ok(a->Execute("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)"));
  auto b = Connect();
  Ok(b->Execute("BEGIN"));
  EXPECT_EQ(b->QueryInt("SELECT count(*) FROM t").value(), 1);
  Ok(a->Execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)"));
  EXPECT_EQ(b->QueryInt("SELECT count(*) FROM t").value(), 1);
  auto c = Connect();
  EXPECT_EQ(c->Execute("BEGIN IMMEDIATE").code(), base::Code::kBusy);
  Ok(a->Execute("COMMIT"));
  EXPECT_EQ(b->QueryInt("SELECT count(*) FROM t").value(), 1);
  EXPECT_EQ(c->QueryInt("SELECT count(*) FROM t").value(), 2);
  EXPECT_EQ(c->Checkpoint("RESTART").status().code(), base::Code::kBusy);
  EXPECT_EQ(c->Execute("PRAGMA journal_mode=DELETE").code(), base::Code::kBusy);
  Ok(b->Execute("COMMIT"));
  EXPECT_TRUE(c->Checkpoint("TRUNCATE").ok());
}

TEST_F(EnvVfsTest, PowerCutLosesWhatSqliteDidNotSync) {
  auto db = Connect();
  Ok(db->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(a)"));
  Ok(db->Execute("INSERT INTO t VALUES (1)"));
  ASSERT_TRUE(db->Checkpoint("PASSIVE").ok());
  Ok(db->Execute("INSERT INTO t VALUES (2)"));  // NORMAL: not synced
  vfs_->Kill();
  env_.PowerCutDropAll();
  db.reset();
  Boot();
  db = Connect();
  EXPECT_EQ(db->QueryInt("SELECT count(*) FROM t").value(), 1);
  Ok(db->Execute("PRAGMA synchronous=FULL; INSERT INTO t VALUES (2)"));
  vfs_->Kill();
  env_.PowerCutDropAll();
  db.reset();
  Boot();
  EXPECT_EQ(Connect()->QueryInt("SELECT count(*) FROM t").value(), 2);
}

TEST_F(EnvVfsTest, ProcessCrashLosesNothing) {
  auto db = Connect();
  Ok(db->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t(a)"));
  Ok(db->Execute("INSERT INTO t VALUES (1)"));
  vfs_->Kill();
  env_.ProcessCrash();
  EXPECT_FALSE(db->Execute("INSERT INTO t VALUES (2)").ok());
  db.reset();
  EXPECT_TRUE(env::Exists(env_, "/d/db-wal"));
  Boot();
  EXPECT_EQ(Connect()->QueryInt("SELECT count(*) FROM t").value(), 1);
}

}  // namespace
}  // namespace understudy::sqlite
