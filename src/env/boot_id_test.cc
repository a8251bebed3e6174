// SPDX-License-Identifier: Apache-2.0
#include "env/boot_id.h"

#include <gtest/gtest.h>

#include "testing/mem_env.h"

namespace understudy::env {
namespace {

TEST(BootId, StaysTheSameWhileThisMachineRuns) {
  const auto first = BootId(PosixEnv());
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ(first->size(), 36U);
  EXPECT_EQ(BootId(PosixEnv()).value(), *first);
}

TEST(BootId, IsWhatTheEnvSays) {
  test::MemEnv env;
  EXPECT_EQ(BootId(env).status().code(), base::Code::kNotFound);
  ASSERT_TRUE(env.MakeDirectories(DirectoryOf(kBootIdPath)).ok());
  ASSERT_TRUE(WriteFileAtomically(env, kBootIdPath, base::AsBytes("boot-1\n")).ok());
  EXPECT_EQ(BootId(env).value(), "boot-1");
}

}  // namespace
}  // namespace understudy::env
