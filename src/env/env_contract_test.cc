// SPDX-License-Identifier: Apache-2.0
// The contract of Env (env.h), run over the real disk and over MemEnv: a fake that behaves
// otherwise would make every test that uses it worthless.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "env/env.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::env {
namespace {

using base::AsBytes;
using base::Code;

std::string Text(const base::Bytes& bytes) { return std::string(bytes.begin(), bytes.end()); }

class EnvContract : public ::testing::TestWithParam<bool> {
 protected:
  EnvContract() : env_(GetParam() ? static_cast<Env&>(memory_) : PosixEnv()) {
    EXPECT_TRUE(env_.MakeDirectories(directory_.path()).ok());
  }

  std::string Path(const std::string& name) const { return directory_.File(name); }
  void Put(const std::string& name, std::string_view content) {
    auto file = env_.Open(Path(name), OpenMode::kCreateTruncate);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    ASSERT_TRUE((*file)->WriteAt(0, AsBytes(content)).ok());
    ASSERT_TRUE((*file)->Close().ok());
  }
  std::string Get(const std::string& name) {
    auto content = ReadFile(env_, Path(name), 1 << 20);
    return content.ok() ? Text(*content) : content.status().ToString();
  }

  test::TempDir directory_;
  test::MemEnv memory_;
  Env& env_;
};

INSTANTIATE_TEST_SUITE_P(Over, EnvContract, ::testing::Values(false, true),
                         [](const auto& which) { return which.param ? "MemEnv" : "PosixEnv"; });

TEST_P(EnvContract, OpenOfAnAbsentFileIsNotFoundAndNamesIt) {
  for (const OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite}) {
    const base::Status status = env_.Open(Path("absent"), mode).status();
    EXPECT_EQ(status.code(), Code::kNotFound);
    EXPECT_NE(status.message().find(Path("absent")), std::string::npos) << status.ToString();
  }
  EXPECT_EQ(env_.Open(Path("no/such"), OpenMode::kCreate).status().code(), Code::kNotFound);
}

TEST_P(EnvContract, ACloneIsTheFileOrThereIsNone) {
  Put("a", "content");
  Put("b", "other");
  EXPECT_NE(env_.Clone(Path("a"), Path("b")).code(), Code::kOk);
  EXPECT_EQ(Get("b"), "other");
  EXPECT_NE(env_.Clone(Path("absent"), Path("c")).code(), Code::kOk);
  EXPECT_FALSE(Exists(env_, Path("c")));
  const base::Status cloned = env_.Clone(Path("a"), Path("c"));
  EXPECT_TRUE(cloned.ok() || cloned.code() == Code::kInvalidArgument) << cloned.ToString();
  EXPECT_EQ(Exists(env_, Path("c")), cloned.ok());
  if (cloned.ok()) {
    EXPECT_EQ(Get("c"), "content");
  }
}

TEST_P(EnvContract, CreateKeepsWhatIsThereCreateNewRefusesItCreateTruncateEmptiesIt) {
  Put("a", "content");
  EXPECT_TRUE(env_.Open(Path("a"), OpenMode::kCreate).ok());
  EXPECT_EQ(Get("a"), "content");
  EXPECT_EQ(env_.Open(Path("a"), OpenMode::kCreateNew).status().code(), Code::kAlreadyExists);
  EXPECT_EQ(Get("a"), "content");
  EXPECT_TRUE(env_.Open(Path("a"), OpenMode::kCreateTruncate).ok());
  EXPECT_EQ(Get("a"), "");
  EXPECT_TRUE(env_.Open(Path("b"), OpenMode::kCreateNew).ok());
  EXPECT_TRUE(env_.Open(Path("c"), OpenMode::kCreateNewPrivate).ok());
  EXPECT_EQ(env_.Open(Path("c"), OpenMode::kCreateNewPrivate).status().code(),
            Code::kAlreadyExists);
}

TEST_P(EnvContract, AFileOpenedForReadingCannotBeWritten) {
  Put("a", "content");
  auto file = env_.Open(Path("a"), OpenMode::kRead);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->WriteAt(0, AsBytes("x")).code(), Code::kIoError);
  EXPECT_FALSE((*file)->Truncate(0).ok());
  EXPECT_EQ(Get("a"), "content");
}

TEST_P(EnvContract, WritesPastTheEndLeaveZerosAndReadsStopAtTheEnd) {
  auto file = env_.Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->WriteAt(10'000, AsBytes("end")).ok());
  EXPECT_EQ(*(*file)->Size(), 10'003u);
  uint8_t buffer[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(*(*file)->ReadAt(9'998, buffer), 5u);
  EXPECT_EQ(buffer[0], 0);
  EXPECT_EQ(buffer[1], 0);
  EXPECT_EQ(buffer[2], 'e');
  EXPECT_EQ(buffer[5], 1);
  EXPECT_EQ(*(*file)->ReadAt(10'003, buffer), 0u);
  EXPECT_EQ(*(*file)->ReadAt(1 << 20, buffer), 0u);
}

TEST_P(EnvContract, WhatWasTruncatedReadsAsZerosWhenTheFileGrowsAgain) {
  auto file = env_.Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->WriteAt(0, AsBytes("abcdef")).ok());
  ASSERT_TRUE((*file)->Sync().ok());
  ASSERT_TRUE((*file)->Truncate(2).ok());
  ASSERT_TRUE((*file)->Truncate(4).ok());
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(Get("a"), std::string("ab\0\0", 4));
}

TEST_P(EnvContract, AnOpenFileStaysReadableAfterItsNameIsGone) {
  Put("a", "content");
  auto file = env_.Open(Path("a"), OpenMode::kReadWrite);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(env_.Remove(Path("a")).ok());
  EXPECT_EQ(env_.Stat(Path("a")).status().code(), Code::kNotFound);
  uint8_t buffer[7];
  EXPECT_EQ(*(*file)->ReadAt(0, buffer), 7u);
  EXPECT_TRUE((*file)->WriteAt(0, AsBytes("x")).ok());
  EXPECT_TRUE((*file)->Sync().ok());
}

TEST_P(EnvContract, UseAfterCloseFailsAndClosingTwiceDoesNot) {
  auto file = env_.Open(Path("a"), OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->Close().ok());
  EXPECT_TRUE((*file)->Close().ok());
  EXPECT_EQ((*file)->WriteAt(0, AsBytes("x")).code(), Code::kIoError);
  EXPECT_FALSE((*file)->Sync().ok());
}

TEST_P(EnvContract, StatTellsSizeKindAndIdentity) {
  Put("a", "12345");
  Put("b", "");
  const FileStat a = *env_.Stat(Path("a"));
  EXPECT_EQ(a.size, 5u);
  EXPECT_FALSE(a.is_directory);
  EXPECT_TRUE(env_.Stat(directory_.path())->is_directory);
  EXPECT_NE(a.inode, env_.Stat(Path("b"))->inode);
  ASSERT_TRUE(env_.Rename(Path("a"), Path("c")).ok());
  EXPECT_EQ(env_.Stat(Path("c"))->inode, a.inode);
  ASSERT_TRUE(env_.SetModified(Path("c"), {1'000'000'000'123}).ok());
  EXPECT_EQ(env_.Stat(Path("c"))->modified.unix_ms, 1'000'000'000'123);
}

TEST_P(EnvContract, ListIsSortedAndHasNoDots) {
  for (const char* name : {"c", "a", "b"}) Put(name, "");
  ASSERT_TRUE(env_.MakeDirectories(Path("ab/deep")).ok());
  EXPECT_EQ(*env_.List(directory_.path()), (std::vector<std::string>{"a", "ab", "b", "c"}));
  EXPECT_EQ(env_.List(Path("absent")).status().code(), Code::kNotFound);
}

TEST_P(EnvContract, MakeDirectoriesIsFineTwiceAndRefusesAFileInTheWay) {
  EXPECT_TRUE(env_.MakeDirectories(Path("x/y/z")).ok());
  EXPECT_TRUE(env_.MakeDirectories(Path("x/y/z/")).ok());
  EXPECT_TRUE(env_.Stat(Path("x/y/z"))->is_directory);
  Put("file", "");
  EXPECT_EQ(env_.MakeDirectories(Path("file")).code(), Code::kIoError);
  EXPECT_EQ(env_.MakeDirectories(Path("file/below")).code(), Code::kIoError);
}

TEST_P(EnvContract, RenameReplacesAndRenameNewDoesNot) {
  Put("a", "new");
  Put("b", "old");
  EXPECT_EQ(env_.RenameNew(Path("a"), Path("b")).code(), Code::kAlreadyExists);
  EXPECT_EQ(Get("a"), "new");
  EXPECT_EQ(Get("b"), "old");
  EXPECT_TRUE(env_.Rename(Path("a"), Path("b")).ok());
  EXPECT_EQ(Get("b"), "new");
  EXPECT_FALSE(Exists(env_, Path("a")));
  EXPECT_TRUE(env_.RenameNew(Path("b"), Path("c")).ok());
  EXPECT_EQ(Get("c"), "new");
  EXPECT_EQ(env_.Rename(Path("absent"), Path("d")).code(), Code::kNotFound);
  EXPECT_EQ(env_.RenameNew(Path("absent"), Path("d")).code(), Code::kNotFound);
}

TEST_P(EnvContract, RemoveTellsFilesFromDirectories) {
  Put("a", "");
  ASSERT_TRUE(env_.MakeDirectories(Path("full")).ok());
  Put("full/b", "");
  EXPECT_FALSE(env_.Remove(Path("full")).ok());
  EXPECT_FALSE(env_.RemoveDirectory(Path("full")).ok());
  EXPECT_FALSE(env_.RemoveDirectory(Path("a")).ok());
  EXPECT_TRUE(env_.Remove(Path("full/b")).ok());
  EXPECT_TRUE(env_.RemoveDirectory(Path("full")).ok());
  EXPECT_EQ(env_.Remove(Path("absent")).code(), Code::kNotFound);
  EXPECT_EQ(env_.RemoveDirectory(Path("absent")).code(), Code::kNotFound);
}

TEST_P(EnvContract, ASecondLockIsBusyUntilTheFirstEnds) {
  auto first = env_.Lock(Path("lock"));
  ASSERT_TRUE(first.ok());
  const base::Status second = env_.Lock(Path("lock")).status();
  EXPECT_EQ(second.code(), Code::kBusy);
  EXPECT_NE(second.message().find(Path("lock")), std::string::npos);
  EXPECT_TRUE(env_.Lock(Path("other")).ok());
  {
    const std::unique_ptr<FileLock> ended = std::move(*first);
  }
  EXPECT_TRUE(env_.Lock(Path("lock")).ok());
}

TEST_P(EnvContract, SyncDirectoryAndFreeSpaceNeedSomethingThere) {
  EXPECT_TRUE(env_.SyncDirectory(directory_.path()).ok());
  EXPECT_FALSE(env_.SyncDirectory(Path("absent")).ok());
  const auto space = env_.FreeSpace(directory_.path());
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->total, 0u);
  EXPECT_LE(space->free, space->total);
  EXPECT_FALSE(env_.FreeSpace(Path("absent")).ok());
}

TEST_P(EnvContract, WriteFileAtomicallyReplacesAndLeavesNoTemporary) {
  EXPECT_TRUE(WriteFileAtomically(env_, Path("a"), AsBytes("one, longer")).ok());
  EXPECT_TRUE(WriteFileAtomically(env_, Path("a"), AsBytes("two")).ok());
  EXPECT_EQ(Get("a"), "two");
  EXPECT_EQ(*env_.List(directory_.path()), std::vector<std::string>{"a"});
}

TEST_P(EnvContract, ReadFileRefusesMoreThanItsLimit) {
  Put("a", "12345");
  EXPECT_TRUE(ReadFile(env_, Path("a"), 5).ok());
  const base::Status refused = ReadFile(env_, Path("a"), 4).status();
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.message().find("5 bytes"), std::string::npos) << refused.message();
}

TEST_P(EnvContract, SteadyTimeDoesNotGoBackAndRandomDoesNotRepeat) {
  const base::SteadyTime before = env_.Now();
  EXPECT_GE(env_.Now(), before);
  EXPECT_GT(env_.WallNow().unix_ms, 1'700'000'000'000);
  EXPECT_NE(env_.Random(), env_.Random());
}

TEST(EnvPaths, DirectoryBaseAndJoinAgree) {
  EXPECT_EQ(DirectoryOf("/a/b"), "/a");
  EXPECT_EQ(DirectoryOf("/a"), "/");
  EXPECT_EQ(DirectoryOf("a"), ".");
  EXPECT_EQ(BaseNameOf("/a/b"), "b");
  EXPECT_EQ(BaseNameOf("b"), "b");
  EXPECT_EQ(JoinPath("/a", "b"), "/a/b");
  EXPECT_EQ(JoinPath("/a/", "b"), "/a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
}

}  // namespace
}  // namespace understudy::env
