// SPDX-License-Identifier: Apache-2.0
// A place is found fit, or not, by using it; nothing stays behind.
#include "backup/repository_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/repository.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::backup {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RepositoryCheckTest : public ::testing::Test {
 protected:
  RepositoryCheckTest() { EXPECT_TRUE(env_.MakeDirectories("/place").ok()); }
  base::Result<PlaceCheck> Check(const std::string& place) { return CheckPlace(env_, place, "s1"); }

  test::MemEnv env_;
};

TEST_F(RepositoryCheckTest, EmptyDirectoryIsFitAndStaysEmpty) {
  const auto check = Check("/place");
  ASSERT_TRUE(check.ok()) << check.status().ToString();
  EXPECT_TRUE(check->exclusive);
  EXPECT_FALSE(check->exists);
  EXPECT_TRUE(check->space.has_value());
  EXPECT_THAT(*env_.List("/place"), IsEmpty());
}

TEST_F(RepositoryCheckTest, RepositoryIsKnownAsOne) {
  const auto repository = Repository::OpenOrCreate(env_, "/place").value();
  ASSERT_TRUE(repository->PrepareDatabase("orders", {}).ok());
  const auto before = *env_.List("/place");
  const auto check = Check("/place");
  ASSERT_TRUE(check.ok()) << check.status().ToString();
  EXPECT_TRUE(check->exists);
  EXPECT_EQ(check->databases, 1u);
  EXPECT_EQ(*env_.List("/place"), before);
}

TEST_F(RepositoryCheckTest, MissingDirectoryIsNotMade) {
  EXPECT_EQ(Check("/mnt/backups").status().code(), base::Code::kNotFound);
  EXPECT_FALSE(env::Exists(env_, "/mnt/backups"));
}

TEST_F(RepositoryCheckTest, SomethingElseIsLeftAlone) {
  ASSERT_TRUE(env_.Open("/place/letter.txt", env::OpenMode::kCreateTruncate).ok());
  EXPECT_EQ(Check("/place").status().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(env_.List("/place")->size(), 1u);
}

TEST_F(RepositoryCheckTest, FullDiskIsTold) {
  test::FaultEnv full(env_);
  full.Arm({.ops = test::Op::kWrite, .for_ever = true, .status = base::NoSpace("disk full")});
  const auto check = CheckPlace(full, "/place", "s1");
  EXPECT_EQ(check.status().code(), base::Code::kNoSpace);
  EXPECT_THAT(check.status().message(), HasSubstr("an object could not be put"));
}

}  // namespace
}  // namespace understudy::backup
