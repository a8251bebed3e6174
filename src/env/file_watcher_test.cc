// SPDX-License-Identifier: Apache-2.0
#include "env/file_watcher.h"

#include <gtest/gtest.h>

#include <thread>

#include "env/env.h"
#include "testing/temp_dir.h"

namespace understudy::env {
namespace {

using Event = FileWatcher::Event;

constexpr base::Duration kNoWait(0);
constexpr base::Duration kLongWait = std::chrono::seconds(30);  // never reached when all is well

class FileWatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto watcher = FileWatcher::Create();
    ASSERT_TRUE(watcher.ok()) << watcher.status().ToString();
    watcher_ = std::move(*watcher);
    Write();
  }
  void Write() {
    auto file = PosixEnv().Open(path_, OpenMode::kCreate);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->WriteAt(0, base::AsBytes("x")).ok());
  }

  test::TempDir directory_;
  const std::string path_ = directory_.File("watched");
  std::unique_ptr<FileWatcher> watcher_;
};

TEST_F(FileWatcherTest, AWriteAfterArmEndsAWaitThatBeginsLater) {
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  EXPECT_EQ(watcher_->Wait(kNoWait), Event::kLimit);
  Write();
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWritten);
}

TEST_F(FileWatcherTest, OneArmIsGoodForOneWrite) {
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  Write();
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWritten);
  Write();
  EXPECT_EQ(watcher_->Wait(kNoWait), Event::kLimit);
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  Write();
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWritten);
}

TEST_F(FileWatcherTest, AWriteInAnotherThreadEndsARunningWait) {
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  std::jthread writer([this] { Write(); });
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWritten);
}

TEST_F(FileWatcherTest, WakeEndsTheCurrentOrTheNextWaitOnce) {
  watcher_->Wake();
  watcher_->Wake();
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWoken);
  EXPECT_EQ(watcher_->Wait(kNoWait), Event::kLimit);
  std::jthread waker([this] { watcher_->Wake(); });
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWoken);
}

TEST_F(FileWatcherTest, AWakeDoesNotSwallowAWrite) {
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  Write();
  watcher_->Wake();
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWoken);
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWritten);
}

TEST_F(FileWatcherTest, AFileThatWasRemovedAndMadeAgainCanBeArmedAgain) {
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  ASSERT_TRUE(PosixEnv().Remove(path_).ok());
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kLimit);  // woken by the end of the watch
  EXPECT_EQ(watcher_->Arm(path_).code(), base::Code::kNotFound);
  Write();
  ASSERT_TRUE(watcher_->Arm(path_).ok());
  Write();
  EXPECT_EQ(watcher_->Wait(kLongWait), Event::kWritten);
}

}  // namespace
}  // namespace understudy::env
