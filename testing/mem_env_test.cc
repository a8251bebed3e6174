// SPDX-License-Identifier: Apache-2.0
// What MemEnv forgets and keeps. The contract that it shares with the real disk is tested in
// src/env/env_contract_test.cc.
#include "testing/mem_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace understudy::test {
namespace {

using base::Bytes;
using base::Code;
using env::OpenMode;

void Write(MemEnv& env, const std::string& path, const Bytes& content, bool sync) {
  auto file = env.Open(path, OpenMode::kCreate);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  ASSERT_TRUE((*file)->WriteAt(0, content).ok());
  if (sync) {
    ASSERT_TRUE((*file)->Sync().ok());
  }
}

Bytes Read(MemEnv& env, const std::string& path) {
  auto content = env::ReadFile(env, path, 1 << 24);
  EXPECT_TRUE(content.ok()) << content.status().ToString();
  return content.ok() ? *content : Bytes();
}

class MemEnvTest : public ::testing::Test {
 protected:
  MemEnvTest() { EXPECT_TRUE(env_.MakeDirectories("/d").ok()); }
  MemEnv env_;
};

TEST_F(MemEnvTest, UnsyncedDataIsLostAndSyncedDataStays) {
  Write(env_, "/d/a", Bytes(10'000, 1), true);
  ASSERT_TRUE(env_.SyncDirectory("/d").ok());
  Write(env_, "/d/a", Bytes(20'000, 2), false);
  EXPECT_EQ(Read(env_, "/d/a"), Bytes(20'000, 2));
  env_.PowerCutDropAll();
  EXPECT_EQ(Read(env_, "/d/a"), Bytes(10'000, 1));
}

TEST_F(MemEnvTest, ASyncedFileWithoutASyncedNameIsGone) {
  Write(env_, "/d/a", Bytes(10, 1), true);
  env_.DropUnsynced();
  EXPECT_THAT(*env_.List("/d"), ::testing::IsEmpty());
}

TEST_F(MemEnvTest, ASyncedNameWithoutSyncedDataIsAnEmptyFile) {
  Write(env_, "/d/a", Bytes(10, 1), false);
  ASSERT_TRUE(env_.SyncDirectory("/d").ok());
  env_.PowerCutDropAll();
  EXPECT_EQ(Read(env_, "/d/a"), Bytes());
}

TEST_F(MemEnvTest, RemovesAndRenamesWithoutSyncDirectoryAreUndone) {
  Write(env_, "/d/a", Bytes(10, 1), true);
  Write(env_, "/d/b", Bytes(10, 2), true);
  ASSERT_TRUE(env_.SyncDirectory("/d").ok());
  ASSERT_TRUE(env_.Rename("/d/a", "/d/b").ok());
  ASSERT_TRUE(env_.Remove("/d/b").ok());
  env_.PowerCutDropAll();
  EXPECT_EQ(Read(env_, "/d/a"), Bytes(10, 1));
  EXPECT_EQ(Read(env_, "/d/b"), Bytes(10, 2));
}

TEST_F(MemEnvTest, ARenameBetweenDirectoriesIsNeverHalfDone) {
  ASSERT_TRUE(env_.MakeDirectories("/e").ok());
  for (uint64_t seed = 0; seed < 50; ++seed) {
    MemEnv env;
    ASSERT_TRUE(env.MakeDirectories("/d").ok());
    ASSERT_TRUE(env.MakeDirectories("/e").ok());
    Write(env, "/d/a", Bytes(10, 1), true);
    ASSERT_TRUE(env.SyncDirectory("/d").ok());
    ASSERT_TRUE(env.Rename("/d/a", "/e/a").ok());
    const bool synced = seed % 2 == 0;
    if (synced) {
      ASSERT_TRUE(env.SyncDirectory("/e").ok());
    }
    env.PowerCut(seed);
    EXPECT_NE(env::Exists(env, "/d/a"), env::Exists(env, "/e/a"));
    EXPECT_TRUE(!synced || env::Exists(env, "/e/a"));
  }
}

TEST_F(MemEnvTest, APrefixOfTheNameChangesOfADirectorySurvives) {
  std::set<size_t> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemEnv env;
    ASSERT_TRUE(env.MakeDirectories("/d").ok());
    for (const char* name : {"/d/1", "/d/2", "/d/3", "/d/4"}) Write(env, name, {}, true);
    env.PowerCut(seed);
    const std::vector<std::string> names = *env.List("/d");
    for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(names[i], std::to_string(i + 1));
    seen.insert(names.size());
  }
  EXPECT_THAT(seen, ::testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(MemEnvTest, APowerCutTearsUnsyncedDataBySectorAndNeverTouchesSyncedData) {
  bool torn_512 = false, lost = false, kept = false, between = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemEnv env;
    ASSERT_TRUE(env.MakeDirectories("/d").ok());
    Write(env, "/d/a", Bytes(8192, 1), true);
    ASSERT_TRUE(env.SyncDirectory("/d").ok());
    auto file = env.Open("/d/a", OpenMode::kReadWrite);
    ASSERT_TRUE((*file)->WriteAt(4096, Bytes(8192, 2)).ok());
    env.PowerCut(seed);
    const Bytes after = Read(env, "/d/a");
    ASSERT_GE(after.size(), 8192u);
    ASSERT_LE(after.size(), 12'288u);
    EXPECT_EQ(Bytes(after.begin(), after.begin() + 4096), Bytes(4096, 1));
    for (size_t sector = 4096; sector + 512 <= 8192; sector += 512) {
      EXPECT_EQ(Bytes(512, after[sector]), Bytes(&after[sector], &after[sector] + 512));
      torn_512 = torn_512 || after[sector] != after[4096];
    }
    lost = lost || after == Bytes(8192, 1);
    kept = kept || (after.size() == 12'288 && after[4096] == 2 && after[12'287] == 2);
    between = between || (after.size() > 8192 && after.size() < 12'288);
  }
  EXPECT_TRUE(torn_512 && lost && kept && between);
}

TEST_F(MemEnvTest, TheSeedAloneDecidesWhatSurvives) {
  Bytes first;
  for (int run = 0; run < 2; ++run) {
    MemEnv env;
    ASSERT_TRUE(env.MakeDirectories("/d").ok());
    Write(env, "/d/a", {}, true);
    ASSERT_TRUE(env.SyncDirectory("/d").ok());
    Write(env, "/d/a", Bytes(100'000, 7), false);
    env.PowerCut(3);
    if (run == 0) first = Read(env, "/d/a");
    EXPECT_EQ(Read(env, "/d/a"), first);
  }
}

TEST_F(MemEnvTest, FilesAndLocksDieWithThePower) {
  auto file = env_.Open("/d/a", OpenMode::kCreate);
  auto lock = env_.Lock("/d/lock");
  ASSERT_TRUE(lock.ok());
  ASSERT_TRUE(env_.SyncDirectory("/d").ok());
  env_.PowerCutDropAll();
  EXPECT_EQ((*file)->WriteAt(0, Bytes(1, 1)).code(), Code::kIoError);
  EXPECT_EQ((*file)->Sync().code(), Code::kIoError);
  EXPECT_EQ((*file)->Size().status().code(), Code::kIoError);
  auto again = env_.Lock("/d/lock");
  ASSERT_TRUE(again.ok());
  {
    const auto stale = std::move(*lock);
  }  // must not give up the new one
  EXPECT_EQ(env_.Lock("/d/lock").status().code(), Code::kBusy);
}

TEST_F(MemEnvTest, AProcessCrashLosesNothingButHandles) {
  Write(env_, "/d/a", Bytes(10, 1), false);
  auto file = env_.Open("/d/a", OpenMode::kReadWrite);
  env_.ProcessCrash();
  EXPECT_FALSE((*file)->WriteAt(0, Bytes(1, 2)).ok());
  EXPECT_EQ(Read(env_, "/d/a"), Bytes(10, 1));
  env_.PowerCutDropAll();  // and makes nothing durable that was not
  EXPECT_FALSE(env::Exists(env_, "/d/a"));
}

TEST_F(MemEnvTest, AfterAForgottenSyncLaterSyncsBringNothingToDisk) {
  Write(env_, "/d/a", Bytes(4096, 1), true);
  ASSERT_TRUE(env_.SyncDirectory("/d").ok());
  auto file = env_.Open("/d/a", OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->WriteAt(0, Bytes(4096, 2)).ok());
  dynamic_cast<MemFileControl&>(**file).ForgetDirty();
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(Read(env_, "/d/a"), Bytes(4096, 2));
  env_.PowerCutDropAll();
  EXPECT_EQ(Read(env_, "/d/a"), Bytes(4096, 1));
}

TEST_F(MemEnvTest, AFullDiskTakesWhatFitsAndRemovingMakesRoom) {
  env_.SetSpaceLimit(1000);
  auto file = env_.Open("/d/a", OpenMode::kCreate);
  EXPECT_EQ((*file)->WriteAt(0, Bytes(1500, 1)).code(), Code::kNoSpace);
  EXPECT_EQ(*(*file)->Size(), 1000u);
  EXPECT_EQ(env_.FreeSpace("/d")->free, 0u);
  EXPECT_TRUE((*file)->WriteAt(0, Bytes(1000, 2)).ok());  // in place needs no room
  ASSERT_TRUE((*file)->Truncate(600).ok());
  EXPECT_EQ(env_.FreeSpace("/d")->free, 400u);
  ASSERT_TRUE(env_.Remove("/d/a").ok());
  EXPECT_EQ(env_.FreeSpace("/d")->free, 400u);  // still open
  ASSERT_TRUE((*file)->Close().ok());
  EXPECT_EQ(env_.FreeSpace("/d")->free, 1000u);
  Write(env_, "/d/b", Bytes(10, 1), false);
  env_.PowerCutDropAll();
  EXPECT_EQ(env_.FreeSpace("/d")->free, 1000u);
}

TEST_F(MemEnvTest, TimeMovesOnlyWhenTold) {
  const base::SteadyTime steady = env_.Now();
  const base::WallTime wall = env_.WallNow();
  EXPECT_EQ(base::ToRfc3339(wall), "2026-01-01T00:00:00.000Z");
  EXPECT_EQ(env_.Now(), steady);
  env_.clock().Advance(std::chrono::milliseconds(1500));
  EXPECT_EQ(env_.Now() - steady, std::chrono::milliseconds(1500));
  EXPECT_EQ(env_.WallNow().unix_ms - wall.unix_ms, 1500);
  env_.clock().StepWall(std::chrono::hours(-1));
  EXPECT_EQ(env_.Now() - steady, std::chrono::milliseconds(1500));
  EXPECT_EQ(env_.WallNow().unix_ms - wall.unix_ms, 1500 - 3'600'000);
}

TEST_F(MemEnvTest, RandomIsSeeded) {
  MemEnv same;
  MemEnv other({.seed = 2});
  const uint64_t value = env_.Random();
  EXPECT_EQ(value, same.Random());
  EXPECT_NE(value, other.Random());
}

}  // namespace
}  // namespace understudy::test
