// SPDX-License-Identifier: Apache-2.0
#include "testing/fault_env.h"

#include <gtest/gtest.h>

#include <string>

#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::test {
namespace {

using base::Bytes;
using base::Code;
using env::OpenMode;

class FaultEnvTest : public ::testing::Test {
 protected:
  FaultEnvTest() {
    EXPECT_TRUE(disk_.MakeDirectories("/d").ok());
    auto file = env_.Open("/d/a", OpenMode::kCreate);
    EXPECT_TRUE(file.ok());
    EXPECT_TRUE(disk_.SyncDirectory("/d").ok());
    file_ = std::move(*file);
  }
  uint64_t Size() { return disk_.Stat("/d/a")->size; }

  MemEnv disk_;
  FaultEnv env_{disk_};
  std::unique_ptr<env::File> file_;
};

TEST_F(FaultEnvTest, FailsTheNthMatchingOperationOnce) {
  env_.Arm({.ops = Op::kWrite | Op::kSync, .nth = 3, .status = base::NoSpace("full")});
  EXPECT_TRUE(file_->WriteAt(0, Bytes(1, 1)).ok());
  EXPECT_TRUE(file_->Size().ok());
  EXPECT_TRUE(file_->Sync().ok());
  EXPECT_FALSE(env_.fired());
  const base::Status failed = file_->WriteAt(1, Bytes(1, 1));
  EXPECT_EQ(failed.ToString(), "no space: /d/a: full");
  EXPECT_TRUE(env_.fired());
  EXPECT_TRUE(file_->WriteAt(1, Bytes(1, 1)).ok());
  EXPECT_EQ(env_.Count(Op::kWrite), 3u);
  EXPECT_EQ(env_.Count(kAllOps), 6u);
}

TEST_F(FaultEnvTest, ForEverFailsMatchesAndHaltFailsEverything) {
  env_.Arm({.ops = Op::kSync, .for_ever = true});
  EXPECT_FALSE(file_->Sync().ok());
  EXPECT_FALSE(file_->Sync().ok());
  EXPECT_TRUE(env_.Stat("/d/a").ok());
  env_.Arm({.ops = Op::kSync, .halt_after = true});
  EXPECT_TRUE(env_.Stat("/d/a").ok());
  EXPECT_FALSE(file_->Sync().ok());
  EXPECT_FALSE(env_.Stat("/d/a").ok());
  EXPECT_FALSE(env_.Open("/d/b", OpenMode::kCreate).ok());
  EXPECT_FALSE(env::Exists(disk_, "/d/b"));
  env_.Disarm();
  EXPECT_TRUE(env_.Stat("/d/a").ok());
}

TEST_F(FaultEnvTest, CanBeLimitedToAPath) {
  env_.Arm({.ops = Op::kOpen, .path_contains = "log"});
  EXPECT_TRUE(env_.Open("/d/b", OpenMode::kCreate).ok());
  EXPECT_FALSE(env_.Open("/d/log.1", OpenMode::kCreate).ok());
}

TEST_F(FaultEnvTest, AFailingWriteLeavesNothingHalfOrAll) {
  const Bytes ten(10, 1);
  env_.Arm({.ops = Op::kWrite, .effect = Effect::kNone});
  EXPECT_FALSE(file_->WriteAt(0, ten).ok());
  EXPECT_EQ(Size(), 0u);
  env_.Arm({.ops = Op::kWrite, .effect = Effect::kPartial});
  EXPECT_FALSE(file_->WriteAt(0, ten).ok());
  EXPECT_EQ(Size(), 5u);
  env_.Arm({.ops = Op::kWrite, .effect = Effect::kWhole});
  EXPECT_FALSE(file_->WriteAt(0, ten).ok());
  EXPECT_EQ(Size(), 10u);
}

TEST_F(FaultEnvTest, ARenameCanHappenAndReportFailure) {
  env_.Arm({.ops = Op::kRename, .effect = Effect::kWhole});
  EXPECT_FALSE(env_.Rename("/d/a", "/d/b").ok());
  EXPECT_TRUE(env::Exists(disk_, "/d/b"));
  env_.Arm({.ops = Op::kRename});
  EXPECT_FALSE(env_.RenameNew("/d/b", "/d/a").ok());
  EXPECT_TRUE(env::Exists(disk_, "/d/b"));
}

TEST_F(FaultEnvTest, BelievingASyncAfterAFailedOneLosesTheData) {
  ASSERT_TRUE(file_->WriteAt(0, Bytes(10, 1)).ok());
  env_.Arm({.ops = Op::kSync});
  EXPECT_FALSE(file_->Sync().ok());
  EXPECT_TRUE(file_->Sync().ok());
  disk_.PowerCutDropAll();
  const Bytes after = *env::ReadFile(disk_, "/d/a", 100);
  EXPECT_NE(after, Bytes(10, 1));
}

TEST_F(FaultEnvTest, FlippedReadsDifferInOneBitAndLeaveTheFileAlone) {
  const Bytes content(1000, 0);
  ASSERT_TRUE(file_->WriteAt(0, content).ok());
  env_.FlipReads(1, 1);
  Bytes seen(1000);
  ASSERT_TRUE(file_->ReadAt(0, seen).ok());
  int bits = 0;
  for (const uint8_t byte : seen) bits += __builtin_popcount(byte);
  EXPECT_EQ(bits, 1);
  EXPECT_EQ(*env::ReadFile(disk_, "/d/a", 1000), content);
  env_.FlipReads(1, 0);
  ASSERT_TRUE(file_->ReadAt(0, seen).ok());
  EXPECT_EQ(seen, content);
}

TEST_F(FaultEnvTest, EveryOperationOfEnvCanBeFailed) {
  const uint64_t failures = FailEachOperation({}, 100, [](const FaultPlan& plan) {
    MemEnv disk;
    EXPECT_TRUE(disk.MakeDirectories("/d").ok());
    FaultEnv env(disk);
    env.Arm(plan);
    int failed = 0;
    const auto note = [&](const base::Status& status) { failed += status.ok() ? 0 : 1; };
    note(env.MakeDirectories("/e"));
    auto file = env.Open("/d/a", OpenMode::kCreate);
    note(file.status());
    uint8_t byte[1];
    if (file.ok()) {
      note((*file)->WriteAt(0, Bytes(1, 1)));
      note((*file)->ReadAt(0, byte).status());
      note((*file)->Truncate(0));
      note((*file)->Size().status());
      note((*file)->Sync());
      note((*file)->Close());
    } else {
      note(disk.Open("/d/a", OpenMode::kCreate).status());
    }
    note(env.Stat("/d").status());
    note(env.List("/d").status());
    note(env.SyncDirectory("/d"));
    note(env.FreeSpace("/d").status());
    note(env.Lock("/d/lock").status());
    note(env.SetModified("/d", {1}));
    if (env.Rename("/d/a", "/d/b").ok()) {
      note(env.RenameNew("/d/b", "/d/a"));
    } else {
      ++failed;
    }
    if (!env.fired()) note(env.Remove("/d/a"));
    if (!env.fired()) note(env.RemoveDirectory("/e"));
    EXPECT_EQ(failed, env.fired() ? 1 : 0) << "operation " << plan.nth;
    return env.fired();
  });
  EXPECT_EQ(failures, 18u);
}

TEST(TempDir, IsFreshAndRemovedAtTheEnd) {
  std::string path;
  {
    TempDir one;
    TempDir two;
    EXPECT_NE(one.path(), two.path());
    path = one.path();
    EXPECT_TRUE(env::WriteFileAtomically(env::PosixEnv(), one.File("x"), {}).ok());
  }
  EXPECT_FALSE(env::Exists(env::PosixEnv(), path));
}

}  // namespace
}  // namespace understudy::test
