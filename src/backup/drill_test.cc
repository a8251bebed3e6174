// SPDX-License-Identifier: Apache-2.0
// A drill says what a restore and SQLite find, leaves no file, and is on record.
#include "backup/drill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_engine.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using ::testing::HasSubstr;

class DrillTest : public ::testing::Test {
 protected:
  DrillTest() {
    EXPECT_TRUE(env_.MakeDirectories("/scratch").ok());
    repository_ = Repository::OpenOrCreate(env_, "/repo").value();
    const BackupResult result = RunFull(env_, executor_, *repository_, source_, {});
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    document_ = result.document;
  }

  base::Result<DrillRecord> Run() {
    env_.clock().Advance(std::chrono::hours(1));
    return Drill(env_, executor_, *repository_,
                 {.database = "orders",
                  .scratch = "/scratch/orders.db",
                  .server = "s2",
                  .check = [this](const std::string& path) {
                    checked_ = env::ReadFile(env_, path, 1 << 20).value();
                    return sqlite_says_;
                  }});
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  test::SnapshotInMemory source_{512, 9, 5, {base::Term(1), base::Seq(77)}};
  std::unique_ptr<Repository> repository_;
  BackupDocument document_;
  base::Status sqlite_says_;
  base::Bytes checked_;
};

TEST_F(DrillTest, GoodOneIsOnRecordAndLeavesNoFile) {
  const auto drill = Run();
  ASSERT_TRUE(drill.ok()) << drill.status().ToString();
  EXPECT_TRUE(drill->good);
  EXPECT_EQ(drill->backup, document_.id);
  EXPECT_EQ(drill->bytes, 512u * 9);
  EXPECT_EQ(checked_.size(), 512u * 9);
  EXPECT_TRUE(env_.List("/scratch")->empty());
  const auto drills = ListDrills(*repository_, "orders");
  ASSERT_TRUE(drills.ok());
  ASSERT_EQ(drills->size(), 1u);
  EXPECT_EQ(ToJson(drills->front()), ToJson(*drill));
}

TEST_F(DrillTest, WhatSqliteFindsIsTheResult) {
  sqlite_says_ = base::Corruption("row 7 missing from index i");
  const auto drill = Run();
  ASSERT_TRUE(drill.ok());
  EXPECT_FALSE(drill->good);
  EXPECT_THAT(drill->message, HasSubstr("row 7 missing"));
  EXPECT_TRUE(env_.List("/scratch")->empty());
  EXPECT_FALSE(ListDrills(*repository_, "orders")->front().good);
}

TEST_F(DrillTest, DamagedBackupIsTheResult) {
  auto file = env_.Open(repository_->FilePath(document_.files[0]), env::OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->WriteAt(200, base::AsBytes("damaged")).ok());
  const auto drill = Run();
  ASSERT_TRUE(drill.ok()) << drill.status().ToString();
  EXPECT_FALSE(drill->good);
  EXPECT_TRUE(checked_.empty());
}

TEST_F(DrillTest, NoResultWhereTheBackupIsNotToBlame) {
  sqlite_says_ = base::NoSpace("no room for SQLite's own file");
  EXPECT_EQ(Run().status().code(), base::Code::kNoSpace);
  EXPECT_TRUE(ListDrills(*repository_, "orders")->empty());
}

TEST_F(DrillTest, TheNewestStay) {
  for (size_t i = 0; i < kDrillsKept + 3; ++i) ASSERT_TRUE(Run().ok());
  EXPECT_EQ(repository_->store().List("orders/drills")->objects.size(), kDrillsKept);
  const auto drills = ListDrills(*repository_, "orders");
  ASSERT_EQ(drills->size(), kDrillsListed);
  EXPECT_EQ(drills->front().at, env_.WallNow());
  EXPECT_GT(drills->front().at, drills->back().at);
}

TEST(DrillRecord, EveryCutTextIsRefused) {
  const std::string text = ToJson({.database = "orders",
                                   .backup = "b",
                                   .server = "s",
                                   .good = true,
                                   .message = "",
                                   .bytes = 1});
  ASSERT_TRUE(DrillFromJson(text).ok());
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    EXPECT_EQ(DrillFromJson(text.substr(0, size)).status().code(), base::Code::kCorruption) << size;
  }
}

}  // namespace
}  // namespace understudy::backup
