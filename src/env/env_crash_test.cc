// SPDX-License-Identifier: Apache-2.0
// WriteFileAtomically at a failure of each of its steps and at power cuts.
#include <gtest/gtest.h>

#include <string>

#include "env/env.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::env {
namespace {

using base::AsBytes;
using base::Bytes;

constexpr const char* kPath = "/d/file";

Bytes Content(uint8_t fill) { return Bytes(20'000, fill); }

void Prepare(test::MemEnv& disk) {
  ASSERT_TRUE(disk.MakeDirectories("/d").ok());
  ASSERT_TRUE(WriteFileAtomically(disk, kPath, Content('o')).ok());
}

// The file holds the old or the new content, whole. Returns whether it is the new one.
bool HoldsOldOrNew(Env& env) {
  const auto content = ReadFile(env, kPath, 1 << 20);
  if (!content.ok()) {
    ADD_FAILURE() << content.status().ToString();
    return false;
  }
  EXPECT_TRUE(*content == Content('o') || *content == Content('n'));
  return *content == Content('n');
}

TEST(WriteFileAtomically, SurvivesAPowerCutOnceItReturned) {
  test::MemEnv disk;
  Prepare(disk);
  ASSERT_TRUE(WriteFileAtomically(disk, kPath, Content('n')).ok());
  disk.PowerCutDropAll();
  EXPECT_TRUE(HoldsOldOrNew(disk));
}

TEST(WriteFileAtomically, LeavesOldOrNewWhereverItFailsAndThePowerGoes) {
  for (const test::Effect effect :
       {test::Effect::kNone, test::Effect::kPartial, test::Effect::kWhole}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const uint64_t failures = test::FailEachOperation(
          {.halt_after = true, .effect = effect}, 100, [&](const test::FaultPlan& plan) {
            test::MemEnv disk;
            Prepare(disk);
            test::FaultEnv env(disk);
            env.Arm(plan);
            const base::Status status = WriteFileAtomically(env, kPath, Content('n'));
            EXPECT_EQ(status.ok(), !env.fired());
            disk.PowerCut(seed);
            EXPECT_EQ(HoldsOldOrNew(disk) || !status.ok(), true);
            return env.fired();
          });
      EXPECT_EQ(failures, 6u);  // open, write, sync, close, rename, sync of the directory
    }
  }
}

TEST(WriteFileAtomically, ReportsAFullDiskAndKeepsTheOldContent) {
  test::MemEnv disk;
  Prepare(disk);
  disk.SetSpaceLimit(25'000);
  EXPECT_EQ(WriteFileAtomically(disk, kPath, Content('n')).code(), base::Code::kNoSpace);
  EXPECT_FALSE(HoldsOldOrNew(disk));
}

}  // namespace
}  // namespace understudy::env
