// SPDX-License-Identifier: Apache-2.0
#include "backup/wanted_backup.h"

#include <gmock/gmock.h>

#include "backup/backup_engine.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using testing::HasSubstr;

class WantedBackupTest : public testing::Test {
 protected:
  // Its last commit was in the second of its seq.
  void Take(BackupType type, uint64_t seq) {
    test::SnapshotInMemory state(512, 8, seq, {base::Term(1), base::Seq(seq)});
    state.mutable_at().commit_time = TimeOf(seq);
    env_.clock().Advance(std::chrono::minutes(1));
    const BackupResult result = RunBackup(env_, executor_, *repository_, state, {.type = type});
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  }
  static base::WallTime TimeOf(uint64_t seq) {
    return {1'700'000'000'000 + static_cast<int64_t>(seq) * 1000};
  }
  uint64_t Chosen(const WantedBackup& wanted) {
    const auto chosen = ChooseBackup(*repository_, "orders", wanted);
    return chosen.ok() ? chosen->document.position.seq.value : 0;
  }
  uint64_t Next(const WantedBackup& wanted) {
    const auto chosen = ChooseBackup(*repository_, "orders", wanted);
    return chosen.ok() && chosen->next ? chosen->next->position.seq.value : 0;
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  std::unique_ptr<Repository> repository_ = Repository::OpenOrCreate(env_, "/repo").value();
};

TEST_F(WantedBackupTest, ByPositionAndTimeTheNewestThatIsNotLater) {
  Take(BackupType::kFull, 10);
  Take(BackupType::kIncremental, 20);
  Take(BackupType::kIncremental, 30);
  EXPECT_EQ(Chosen({}), 30u);
  EXPECT_EQ(Chosen({.seq = base::Seq(29)}), 20u);
  EXPECT_EQ(Next({.seq = base::Seq(29)}), 30u);
  EXPECT_EQ(Chosen({.seq = base::Seq(20)}), 20u);
  EXPECT_EQ(Chosen({.seq = base::Seq(99)}), 30u);
  EXPECT_EQ(Next({.seq = base::Seq(99)}), 0u);
  EXPECT_EQ(Chosen({.time = TimeOf(19)}), 10u);
  EXPECT_EQ(Chosen({.time = TimeOf(20)}), 20u);
  EXPECT_EQ(Next({.time = TimeOf(20)}), 30u);
}

TEST_F(WantedBackupTest, WhatIsTooOldIsRefusedWithTheRange) {
  Take(BackupType::kFull, 10);
  Take(BackupType::kIncremental, 20);
  const auto chosen = ChooseBackup(*repository_, "orders", {.seq = base::Seq(9)});
  ASSERT_EQ(chosen.status().code(), base::Code::kNotFound);
  EXPECT_THAT(chosen.status().message(),
              HasSubstr("position 10, committed until 2023-11-14T22:13:30"));
  EXPECT_THAT(chosen.status().message(), HasSubstr("position 20"));
}

TEST_F(WantedBackupTest, ABrokenChainIsPassedOver) {
  Take(BackupType::kFull, 10);
  Take(BackupType::kIncremental, 20);
  Take(BackupType::kIncremental, 30);
  const auto middle = ChooseBackup(*repository_, "orders", {.seq = base::Seq(20)});
  ASSERT_TRUE(env_.Remove(repository_->DocumentPath("orders", middle->document.id)).ok());
  EXPECT_EQ(Chosen({}), 10u);
  EXPECT_EQ(Chosen({.seq = base::Seq(99)}), 10u);
}

}  // namespace
}  // namespace understudy::backup
