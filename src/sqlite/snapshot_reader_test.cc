// SPDX-License-Identifier: Apache-2.0
#include "sqlite/snapshot_reader.h"

#include <gtest/gtest.h>

#include <fstream>

#include "sqlite/pins.h"
#include "testing/temp_dir.h"

namespace understudy::sqlite {
namespace {

#define ASSERT_OK(expression) ASSERT_TRUE((expression).ok())

class Snapshot : public testing::Test {
 protected:
  Snapshot() {
    connection_ = Open();
    CHECK(connection_->Execute("PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
              .ok());
    Insert();
  }
  std::unique_ptr<Connection> Open() {
    auto connection = Connection::Open(path_, {.create = true, .vfs = ""});
    CHECK(connection.ok());
    return std::move(connection).value();
  }
  void Insert() {
    CHECK(connection_
              ->Execute("WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE "
                        "x<200) INSERT INTO t(b) SELECT randomblob(500) FROM c")
              .ok());
  }
  static base::Bytes All(SnapshotReader& reader) {
    base::Bytes pages(size_t{reader.pages()} * reader.page_size());
    CHECK(reader.ReadPages(base::PageNo(1), reader.pages(), pages).ok());
    return pages;
  }
  base::Bytes File() {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  test::TempDir directory_;
  std::string path_ = directory_.File("a.db");
  std::unique_ptr<Connection> connection_;
};

TEST_F(Snapshot, OnAReadMarkStaysAsItWasWhateverIsCommitted) {
  auto reader = SnapshotReader::Open(path_);
  ASSERT_OK(reader);
  const base::Bytes before = All(**reader);
  Insert();
  ASSERT_OK(connection_->Execute("DELETE FROM t WHERE a < 100"));
  ASSERT_OK(connection_->Checkpoint("PASSIVE"));
  EXPECT_EQ(All(**reader), before);
  auto newer = SnapshotReader::Open(path_);
  ASSERT_OK(newer);
  EXPECT_NE(All(**newer), before);
}

TEST_F(Snapshot, OnLockZeroOutlivesARestartOfTheWal) {
  ASSERT_OK(connection_->Checkpoint("PASSIVE"));  // wholly backfilled: the reader takes lock 0
  auto reader = SnapshotReader::Open(path_);
  ASSERT_OK(reader);
  const base::Bytes before = All(**reader);
  const WalSalts salts = (*reader)->header().wal_salts();
  Insert();  // restarts the WAL
  auto newer = SnapshotReader::Open(path_);
  ASSERT_OK(newer);
  ASSERT_NE((*newer)->header().wal_salts(), salts);
  EXPECT_EQ(All(**reader), before);
}

TEST_F(Snapshot, OfAnEmptyWalIsTheFile) {
  ASSERT_OK(connection_->Checkpoint("TRUNCATE"));
  auto reader = SnapshotReader::Open(path_);
  ASSERT_OK(reader);
  EXPECT_EQ(All(**reader), File());
}

TEST_F(Snapshot, OfARollbackJournalDatabaseIsRefused) {
  ASSERT_OK(connection_->Execute("PRAGMA journal_mode=DELETE"));
  connection_.reset();
  EXPECT_EQ(SnapshotReader::Open(path_).status().code(), base::Code::kInvalidArgument);
}

// The effect of each pin on a writer and a checkpointer (docs/design/0001-capture-pins.md).
class PinsTest : public Snapshot {
 protected:
  PinsTest() : holder_(Open()), index_(*WalIndex::Map(*holder_)), pins_(index_) { Backfill(); }
  void Backfill() { CHECK(connection_->Checkpoint("PASSIVE").ok()); }
  WalSalts Salts() { return index_.AwaitHeader()->wal_salts(); }

  std::unique_ptr<Connection> holder_;
  WalIndex index_;
  Pins pins_;
};

TEST_F(PinsTest, WithoutAPinTheNextWriterRestartsTheWal) {
  const WalSalts before = Salts();
  Insert();
  EXPECT_NE(Salts(), before);
}

TEST_F(PinsTest, SPreventsRestartsAndLetsCheckpointsRun) {
  ASSERT_TRUE(*pins_.TryTakeS());
  const WalSalts before = Salts();
  Insert();
  EXPECT_EQ(Salts(), before);
  auto checkpoint = connection_->Checkpoint("PASSIVE");
  ASSERT_OK(checkpoint);
  EXPECT_EQ(checkpoint->backfilled, checkpoint->log_frames);
  EXPECT_EQ(connection_->Checkpoint("TRUNCATE").status().code(), base::Code::kBusy);
  pins_.DropS();
  Insert();
  EXPECT_NE(Salts(), before);
}

TEST_F(PinsTest, SReadersStillFindAMark) {
  ASSERT_TRUE(*pins_.TryTakeS());
  std::vector<std::unique_ptr<Connection>> readers;
  for (int i = 0; i < 6; ++i) {
    readers.push_back(Open());
    Insert();
    ASSERT_OK(readers.back()->Execute("BEGIN"));
    EXPECT_EQ(*readers.back()->QueryInt("SELECT count(*) FROM t"), 200 * (i + 2));
  }
}

TEST_F(PinsTest, KAndZAllowOneRestartAndNoMore) {
  for (const bool k : {true, false}) {
    ASSERT_TRUE(k ? *pins_.TryTakeK() : *pins_.TryTakeZ());
    const WalSalts before = Salts();
    Insert();
    const WalSalts once = Salts();
    EXPECT_NE(once, before);
    const auto checkpoint = connection_->Checkpoint("PASSIVE");
    EXPECT_TRUE(!checkpoint.ok() || checkpoint->backfilled == 0);
    Insert();
    EXPECT_EQ(Salts(), once);
    pins_.DropK();
    pins_.DropZ();
    Backfill();
  }
}

TEST_F(PinsTest, WriteLockIsSeen) {
  EXPECT_TRUE(*pins_.WriteLockIsFree());
  ASSERT_OK(connection_->Execute("BEGIN IMMEDIATE"));
  EXPECT_FALSE(*pins_.WriteLockIsFree());
}

}  // namespace
}  // namespace understudy::sqlite
