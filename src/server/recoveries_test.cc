// SPDX-License-Identifier: Apache-2.0
// Recovery databases are there whole or not at all, whatever a kill leaves.
#include "server/recoveries.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::server {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Recoveries : public ::testing::Test {
 protected:
  Recoveries() { EXPECT_TRUE(env_.MakeDirectories("/data").ok()); }

  static Recovery Mail(const std::string& name) {
    return {.name = name,
            .database = "mail",
            .backup = "20261126T000000Z-full-000000",
            .position = {base::Term(3), base::Seq(70)},
            .commit_time = {1'700'000'000'123},
            .created = {1'700'000'100'000},
            .bytes = 4096};
  }
  void WriteDatabase(env::Env& env, const std::string& name) {
    auto file = env.Open(RecoveryPath("/data", name), env::OpenMode::kCreateNew);
    if (file.ok()) (*file)->WriteAt(0, base::AsBytes("SQLite format 3")).IgnoreError();
  }
  void Make(const std::string& name) {
    ASSERT_TRUE(PrepareRecovery(env_, "/data", name).ok());
    WriteDatabase(env_, name);
    ASSERT_TRUE(FinishRecovery(env_, "/data", Mail(name)).ok());
  }

  test::MemEnv env_;
};

TEST_F(Recoveries, ComeBackAsTheyWere) {
  EXPECT_THAT(*ListRecoveries(env_, "/data"), IsEmpty());
  Make("monday");
  const auto found = ListRecoveries(env_, "/data");
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(ToJson(found->front()), ToJson(Mail("monday")));
  EXPECT_EQ(PrepareRecovery(env_, "/data", "monday").code(), base::Code::kAlreadyExists);
  EXPECT_TRUE(RemoveRecovery(env_, "/data", "monday").ok());
  EXPECT_THAT(*ListRecoveries(env_, "/data"), IsEmpty());
  EXPECT_FALSE(env::Exists(env_, RecoveryPath("/data", "monday")));
}

TEST_F(Recoveries, WhatAKillLeftGoesAtTheNextStart) {
  Make("whole");
  ASSERT_TRUE(PrepareRecovery(env_, "/data", "half").ok());
  WriteDatabase(env_, "half");
  EXPECT_EQ(ListRecoveries(env_, "/data")->size(), 1u);
  RemoveUnfinishedRecoveries(env_, "/data");
  EXPECT_FALSE(env::Exists(env_, RecoveryPath("/data", "half")));
  EXPECT_TRUE(env::Exists(env_, RecoveryPath("/data", "whole")));
}

TEST_F(Recoveries, KilledAtAnyStepOfItsRemovalIsThereWholeOrGone) {
  for (uint64_t nth = 1;; ++nth) {
    Make("mail");
    test::FaultEnv dying(env_);
    dying.Arm({.ops = test::kChangingOps, .nth = nth, .halt_after = true});
    const bool removed = RemoveRecovery(dying, "/data", "mail").ok();
    const size_t listed = ListRecoveries(env_, "/data")->size();
    if (listed == 1) {
      EXPECT_TRUE(env::Exists(env_, RecoveryPath("/data", "mail")));
      EXPECT_TRUE(RemoveRecovery(env_, "/data", "mail").ok());
    }
    RemoveUnfinishedRecoveries(env_, "/data");
    EXPECT_FALSE(env::Exists(env_, "/data/.recovery/mail"));
    if (removed) return;
    ASSERT_LT(nth, 50u);
  }
}

TEST_F(Recoveries, AreBoundedAndNamed) {
  for (size_t i = 0; i < kRecoveriesMax; ++i) Make("r" + std::to_string(i));
  const base::Status refused = PrepareRecovery(env_, "/data", "more");
  EXPECT_EQ(refused.code(), base::Code::kBusy);
  EXPECT_THAT(refused.message(), HasSubstr("understudy recovery list"));
  for (const char* name : {"../x", ".hidden", "a/b", ""}) {
    EXPECT_EQ(PrepareRecovery(env_, "/data", name).code(), base::Code::kInvalidArgument) << name;
    EXPECT_EQ(RemoveRecovery(env_, "/data", name).code(), base::Code::kInvalidArgument) << name;
  }
}

TEST(RecoveryManifest, EveryCutIsRefused) {
  const std::string text = ToJson(Recovery{.name = "m", .database = "mail", .backup = "b"});
  ASSERT_TRUE(RecoveryFromJson(text).ok());
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    EXPECT_FALSE(RecoveryFromJson(text.substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace understudy::server
