// SPDX-License-Identifier: Apache-2.0
#include "log/checkpoint_file.h"

#include <gtest/gtest.h>

#include "log/test_records.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::log {
namespace {

using base::Code;

constexpr char kPath[] = "/checkpoint";

class CheckpointFileTest : public ::testing::Test {
 protected:
  CheckpointFileTest() {
    log_ =
        LogStore::Open(env_, {.directory = "/log", .database = TestId(), .generation_bytes = 4096})
            .value();
    Append(database_.Mount());
  }
  void Append(const Record& record) {
    for (const base::Bytes& part : record.parts) ASSERT_TRUE(log_->Append(part).ok());
    ASSERT_TRUE(log_->Sync().ok());
  }
  Checkpoint Now() const {
    return {.database = TestId(), .at = log_->end(), .table = database_.table()};
  }

  test::MemEnv env_;
  TestDatabase database_;
  std::unique_ptr<LogStore> log_;
};

TEST_F(CheckpointFileTest, ComesBackAndRollsForward) {
  for (int i = 0; i < 10; ++i) Append(database_.Commit());
  ASSERT_TRUE(SaveCheckpoint(env_, kPath, Now()).ok());
  auto loaded = LoadCheckpoint(env_, kPath);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(loaded->at, log_->end());
  EXPECT_EQ(loaded->table.hashes(), database_.table().hashes());
  for (int i = 0; i < 30; ++i) Append(database_.Commit());
  Append(database_.Rewrite(700));  // many parts
  Append(database_.Commit());
  // An incomplete record is not part of it.
  ASSERT_TRUE(log_->Append(TestDatabase(database_).Rewrite(700).parts[0]).ok());
  ASSERT_TRUE(log_->Sync().ok());
  const base::Status status = RollForward(*log_, *loaded);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(loaded->at, log_->end());
  EXPECT_EQ(loaded->table.hashes(), database_.table().hashes());
}

TEST_F(CheckpointFileTest, RollForwardSaysWhenTheLogDoesNotFit) {
  Append(database_.Rewrite(20));  // more pages than one commit changes
  const Checkpoint old = Now();
  for (int i = 0; i < 60; ++i) Append(database_.Commit());
  Checkpoint checkpoint = old;
  checkpoint.at.checksum ^= 1;
  EXPECT_EQ(RollForward(*log_, checkpoint).code(), Code::kDiverged);
  checkpoint = old;
  for (uint32_t page = 1; page <= 20; ++page) checkpoint.table.Set(base::PageNo(page), page);
  EXPECT_EQ(RollForward(*log_, checkpoint).code(), Code::kDiverged);
  checkpoint = Now();
  checkpoint.at.position.seq = base::Seq(1000);
  EXPECT_EQ(RollForward(*log_, checkpoint).code(), Code::kLogGap);
  ASSERT_TRUE(log_->Truncate(base::Seq(50)).ok());
  checkpoint = old;
  EXPECT_EQ(RollForward(*log_, checkpoint).code(), Code::kLogGap);
}

TEST_F(CheckpointFileTest, EveryFlippedOrMissingByteIsSeen) {
  for (int i = 0; i < 5; ++i) Append(database_.Commit());
  EXPECT_EQ(LoadCheckpoint(env_, kPath).status().code(), Code::kNotFound);
  ASSERT_TRUE(SaveCheckpoint(env_, kPath, Now()).ok());
  const base::Bytes good = *env::ReadFile(env_, kPath, 1 << 20);
  for (size_t i = 0; i < good.size(); ++i) {
    base::Bytes bad = good;
    bad[i] ^= 4;
    EXPECT_EQ(ParseCheckpoint(bad).status().code(), Code::kCorruption) << "byte " << i;
    EXPECT_EQ(ParseCheckpoint(base::ByteView(good).first(i)).status().code(), Code::kCorruption);
  }
}

TEST_F(CheckpointFileTest, FailedSaveLeavesTheOldOrTheNew) {
  Append(database_.Commit());
  const Checkpoint old = Now();
  Append(database_.Commit());
  const Checkpoint fresh = Now();
  test::FailEachOperation({.halt_after = true, .effect = test::Effect::kPartial}, 100,
                          [&](const test::FaultPlan& plan) {
                            test::MemEnv env;
                            EXPECT_TRUE(SaveCheckpoint(env, kPath, old).ok());
                            test::FaultEnv faults(env);
                            faults.Arm(plan);
                            const bool saved = SaveCheckpoint(faults, kPath, fresh).ok();
                            const bool fired = faults.fired();
                            env.PowerCut(plan.nth);
                            const auto loaded = LoadCheckpoint(env, kPath);
                            EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
                            if (!loaded.ok()) return fired;
                            EXPECT_TRUE(loaded->at == fresh.at || (!saved && loaded->at == old.at));
                            return fired;
                          });
}

}  // namespace
}  // namespace understudy::log
