// SPDX-License-Identifier: Apache-2.0
#include "server/copy_directory.h"

#include <gtest/gtest.h>

#include "testing/mem_env.h"

namespace understudy::server {
namespace {

base::DatabaseId Id(uint8_t first) {
  base::DatabaseId id;
  id.bytes[0] = first;
  return id;
}

void Write(env::Env& env, const std::string& path) {
  ASSERT_TRUE(env::WriteFileAtomically(env, path, base::AsBytes("x")).ok());
}

TEST(CopyDirectory, IdentityStaysTheSame) {
  test::MemEnv env;
  std::string identity;
  {
    const auto first = OpenDataDirectory(env, "/data");
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    identity = first->identity;
  }
  EXPECT_EQ(identity.size(), 32u);
  EXPECT_EQ(OpenDataDirectory(env, "/data")->identity, identity);
}

TEST(CopyDirectory, ASecondDaemonIsRefusedByDirectory) {
  test::MemEnv env;
  const auto first = OpenDataDirectory(env, "/data");
  ASSERT_TRUE(first.ok());
  const auto second = OpenDataDirectory(env, "/data");
  EXPECT_EQ(second.status().code(), base::Code::kBusy);
  EXPECT_NE(second.status().message().find("/data"), std::string::npos);
}

TEST(CopyDirectory, FilesOfAnotherDatabaseOfTheNameAreMovedAside) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/data").ok());
  ASSERT_TRUE(ClaimCopyDirectory(env, "/data", "orders", Id(1)).ok());
  Write(env, "/data/orders/checkpoint");
  ASSERT_TRUE(ClaimCopyDirectory(env, "/data", "orders", Id(1)).ok());
  EXPECT_TRUE(env::Exists(env, "/data/orders/checkpoint"));
  ASSERT_TRUE(ClaimCopyDirectory(env, "/data", "orders", Id(2)).ok());
  EXPECT_FALSE(env::Exists(env, "/data/orders/checkpoint"));
  EXPECT_TRUE(env::Exists(env, "/data/.removed-orders-01000000/checkpoint"));
}

TEST(CopyDirectory, ADamagedOwnerFileIsCorruptionNotAGuess) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/data/orders").ok());
  Write(env, "/data/orders/.copy.json");
  EXPECT_EQ(ClaimCopyDirectory(env, "/data", "orders", Id(1)).code(), base::Code::kCorruption);
}

TEST(CopyDirectory, RemovingACopyLeavesNothing) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/data/orders/log").ok());
  const CopyPaths paths = PathsOf("/data", "orders");
  Write(env, paths.log + "/0000000000000001.ulog");
  Write(env, paths.checkpoint);
  for (const char* suffix : {"", "-wal", ".seeding.state"}) {
    Write(env, std::string("/data/orders/orders.db") + suffix);
  }
  ASSERT_TRUE(RemoveDatabaseFiles(env, "/data/orders/orders.db").ok());
  ASSERT_TRUE(RemoveCopyFiles(env, paths).ok());
  EXPECT_FALSE(env::Exists(env, "/data/orders"));
  EXPECT_TRUE(RemoveCopyFiles(env, paths).ok());
}

}  // namespace
}  // namespace understudy::server
