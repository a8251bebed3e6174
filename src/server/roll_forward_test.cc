// SPDX-License-Identifier: Apache-2.0
// Power cuts are played with real files: the database and its WAL as they were earlier are put
// back, and the -shm is removed, while nobody has them open.
#include "server/roll_forward.h"
#include "server/mount_mark.h"

#include "capture/capture_test_support.h"
#include "replay/replayer.h"

namespace understudy::server {
namespace {

using capture::FileBytes;
using capture::OpenSqlite;

constexpr const char* kBefore = "boot-1";
constexpr const char* kAfter = "boot-2";
constexpr int64_t kRowsEarly = 3;
constexpr int64_t kRowsLate = 5;

class RollForwardTest : public ::testing::Test {
 protected:
  struct Disk {
    std::string database;
    std::string wal;
  };

  void SetUp() override {
    ASSERT_OK(f_.Open());
    ASSERT_OK(SaveMountMark(env_, Mounted(kBefore).paths,
                            {f_.path(), kBefore, std::to_string(env_.Stat(f_.path())->inode)}));
    application_ = OpenSqlite(f_.path());
    Insert(kRowsEarly);
    ASSERT_OK(f_.TakeBase());
    early_ = Save();
  }
  // What the log ends with is what the disk lost.
  void CaptureMore() {
    ASSERT_OK(application_->Execute("CREATE TABLE later(x)"));
    ASSERT_OK(f_.Pump());
    Insert(kRowsLate);
    ASSERT_OK(f_.capture->CatchUp());
    end_ = f_.log->end();
  }
  void Insert(int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) {
      ASSERT_OK(application_->Execute("INSERT INTO t(b) VALUES(randomblob(3000))"));
      ASSERT_OK(f_.Pump());
    }
  }
  MountedDatabase Mounted(const char* boot) const {
    return {f_.path(),
            f_.options.database,
            {f_.directory.path(), f_.directory.File("log"), f_.directory.File("checkpoint")},
            boot};
  }
  Disk Save() const { return {FileBytes(f_.path()), FileBytes(f_.path() + "-wal")}; }
  // Everything stops; `disk` is what is found afterwards.
  void PowerCut(const Disk& disk) {
    application_.reset();
    f_.Crash();
    Put(f_.path(), disk.database);
    Put(f_.path() + "-wal", disk.wal);
    std::filesystem::remove(f_.path() + "-shm");
  }
  static void Put(const std::string& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    CHECK(out.good());
  }
  RollForward Roll(const char* boot) {
    auto done = RollForwardAtMount(env_, Mounted(boot), *f_.log);
    if (!done.ok()) {
      ADD_FAILURE() << done.status().ToString();
      return {};
    }
    for (const log::Hold& hold : f_.log->holds()) EXPECT_NE(hold.name, replay::kHoldName);
    return *done;
  }
  // Mounts; the number of healing records.
  uint64_t Mount() {
    ++f_.options.term.value;
    const base::Status opened = f_.Open();
    EXPECT_TRUE(opened.ok()) << opened.ToString();
    application_ = OpenSqlite(f_.path());
    return opened.ok() ? f_.capture->counters().healing_records : 999;
  }
  int64_t Rows() { return application_->QueryInt("SELECT count(*) FROM t").value(); }
  // What a passive copy gets from the log is what the database has, also after more commits.
  void ExpectCopyEqual() {
    EXPECT_EQ(application_->QueryText("PRAGMA integrity_check").value(), "ok");
    Insert(1);
    ASSERT_OK(f_.ApplyLog());
    application_.reset();
    f_.capture.reset();
    EXPECT_TRUE(f_.SourceBytes() == f_.CopyBytes());
  }
  void ExpectAllBack() {
    EXPECT_EQ(f_.log->end(), end_) << "the log stays as it is";
    EXPECT_EQ(Mount(), 0U);
    EXPECT_EQ(f_.log->end().position.seq, end_.position.seq.Next()) << "the mount";
    EXPECT_EQ(f_.log->end().checksum, end_.checksum);
    EXPECT_EQ(Rows(), kRowsEarly + kRowsLate);
    ExpectCopyEqual();
  }
  void ExpectHealedBack() {
    EXPECT_EQ(Mount(), 1U);
    EXPECT_EQ(Rows(), kRowsEarly);
    ExpectCopyEqual();
  }

  env::Env& env_ = env::PosixEnv();
  capture::Follower f_;
  std::unique_ptr<sqlite::Connection> application_;
  Disk early_;
  log::LogEnd end_;
};

TEST_F(RollForwardTest, BringsBackWhatTheWalLost) {
  CaptureMore();
  PowerCut(early_);
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.refused, "");
  EXPECT_EQ(done.records, static_cast<uint64_t>(kRowsLate) + 1);
  ExpectAllBack();
}

TEST_F(RollForwardTest, BringsBackWhatWasCheckpointedWithoutASync) {
  ASSERT_OK(application_->Checkpoint("PASSIVE").status());
  early_ = Save();
  CaptureMore();
  ASSERT_OK(application_->Checkpoint("PASSIVE").status());
  const Disk late = Save();
  // Every second page reached the disk, and the WAL did not.
  Disk mixture{late.database, ""};
  for (size_t at = 0; at + 4096 <= early_.database.size(); at += 8192)
    mixture.database.replace(at, 4096, early_.database, at, 4096);
  ASSERT_NE(mixture.database, late.database);
  PowerCut(mixture);
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.refused, "");
  EXPECT_GT(done.records, 0U);
  ExpectAllBack();
}

TEST_F(RollForwardTest, IsTheSameAfterASecondPowerCut) {
  CaptureMore();
  PowerCut(early_);
  EXPECT_GT(Roll(kAfter).records, 0U);
  PowerCut(Save());  // before the mount
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.refused, "");
  EXPECT_EQ(done.records, 0U);
  ExpectAllBack();
}

TEST_F(RollForwardTest, DoesNothingWhenTheWalContinues) {
  CaptureMore();
  PowerCut(Save());
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.refused, "");
  EXPECT_EQ(done.records, 0U);
  ExpectAllBack();
}

TEST_F(RollForwardTest, ChangesNothingInADatabaseThatIsAtTheEndOfItsLog) {
  CaptureMore();
  f_.Crash();
  application_.reset();  // checkpoints, and removes the WAL
  const std::string before = FileBytes(f_.path());
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.refused, "");
  EXPECT_EQ(done.records, 0U);
  EXPECT_TRUE(FileBytes(f_.path()) == before);
  ExpectAllBack();
}

TEST_F(RollForwardTest, LeavesWhatAnApplicationWroteAfterwards) {
  CaptureMore();
  PowerCut(early_);
  OpenSqlite(f_.path())->Execute("INSERT INTO t(b) VALUES('after the reboot')").IgnoreError();
  const Disk before = Save();
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.records, 0U);
  EXPECT_THAT(done.refused, ::testing::HasSubstr("not from this log"));
  EXPECT_EQ(FileBytes(f_.path()), before.database);
  EXPECT_EQ(Mount(), 1U);
  EXPECT_EQ(Rows(), kRowsEarly + 1);
  ExpectCopyEqual();
}

TEST_F(RollForwardTest, DoesNotWaitForAnApplicationThatWrites) {
  CaptureMore();
  PowerCut(early_);
  auto writer = OpenSqlite(f_.path());
  ASSERT_OK(writer->Execute("BEGIN IMMEDIATE"));
  const RollForward done = Roll(kAfter);
  EXPECT_EQ(done.records, 0U);
  EXPECT_THAT(done.refused, ::testing::HasSubstr("another process writes"));
  ASSERT_OK(writer->Execute("ROLLBACK"));
  ExpectHealedBack();
}

TEST_F(RollForwardTest, DoesNothingInTheSameBoot) {
  CaptureMore();
  PowerCut(early_);
  const RollForward done = Roll(kBefore);
  EXPECT_EQ(done.refused, "");
  EXPECT_EQ(done.records, 0U);
  ExpectHealedBack();
}

TEST_F(RollForwardTest, RespectsAnOlderFilePutBackAfterACleanDismount) {
  CaptureMore();
  ASSERT_OK(f_.capture->Close());
  ASSERT_OK(ClearMountMark(env_, Mounted(kBefore).paths));
  ASSERT_OK(ClearMountMark(env_, Mounted(kBefore).paths));
  PowerCut(early_);
  EXPECT_EQ(Roll(kAfter).records, 0U);
  ExpectHealedBack();
}

TEST_F(RollForwardTest, RespectsAnotherFileInTheDatabasesPlace) {
  CaptureMore();
  PowerCut(early_);
  std::filesystem::copy_file(f_.path(), f_.path() + ".copy");
  std::filesystem::rename(f_.path() + ".copy", f_.path());
  EXPECT_EQ(Roll(kAfter).records, 0U);
  ExpectHealedBack();
}

TEST_F(RollForwardTest, RollsForwardWhenTheBootIsUnknown) {
  CaptureMore();
  PowerCut(early_);
  EXPECT_GT(Roll("").records, 0U);
  ExpectAllBack();
}

}  // namespace
}  // namespace understudy::server
