// SPDX-License-Identifier: Apache-2.0
#include "env/file_users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::env {
namespace {

TEST(FileUsers, AreTheProcessesThatHaveItOpen) {
  const test::TempDir directory;
  const std::string path = JoinPath(directory.path(), "db");
  auto file = PosixEnv().Open(path, OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  const auto users = FileUsers(PosixEnv(), path);
  ASSERT_EQ(users.size(), 1U);
  EXPECT_EQ(users[0].name, "env_test");
  const base::Status busy = CheckNotInUse(PosixEnv(), path);
  EXPECT_EQ(busy.code(), base::Code::kBusy);
  EXPECT_THAT(busy.message(), ::testing::HasSubstr(users[0].pid + " (env_test)"));
  file->reset();
  EXPECT_TRUE(CheckNotInUse(PosixEnv(), path).ok());
}

TEST(FileUsers, AreNoneWhereNothingTells) {
  test::MemEnv env;
  EXPECT_TRUE(FileUsers(env, "/db").empty());
  EXPECT_TRUE(CheckNotInUse(env, "/db").ok());
}

}  // namespace
}  // namespace understudy::env
