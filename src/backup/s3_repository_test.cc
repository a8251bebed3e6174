// SPDX-License-Identifier: Apache-2.0
// A repository in a bucket: backups of all types, restored byte for byte; whichever request is the
// last one of a process, the next backup works and clears up; two hosts do not destroy each
// other's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_engine.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "env/boot_id.h"
#include "store/s3_store.h"
#include "testing/fake_s3.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class S3Repository : public ::testing::Test {
 protected:
  S3Repository() {
    EXPECT_TRUE(env_.MakeDirectories("/out").ok());
    world_.names_per_page = 1000;
  }
  void GiveBootId() {
    EXPECT_TRUE(env_.MakeDirectories(env::DirectoryOf(env::kBootIdPath)).ok());
    EXPECT_TRUE(env::WriteFileAtomically(env_, env::kBootIdPath,
                                         base::AsBytes("11111111-2222-3333-4444-555555555555"))
                    .ok());
  }
  store::Pause Wait() {
    return [this](base::Duration duration) { env_.clock().Advance(duration); };
  }
  std::unique_ptr<Repository> Connect(test::FakeS3::Plan plan = {}) {
    auto http = std::make_unique<test::FakeS3>(world_, "bucket");
    network_ = http.get();
    const store::S3Options options{.endpoint = "https://s3.test",
                                   .bucket = "bucket",
                                   .path_style = true,
                                   .part_bytes = store::kPartBytesMin};
    auto repository = Repository::OpenOrCreate(
        env_, std::make_unique<store::S3Store>(env_, std::move(http), options, Wait()));
    EXPECT_TRUE(repository.ok()) << repository.status().ToString();
    (*repository)->SetPause(Wait());
    network_->Arm(plan);
    return std::move(*repository);
  }
  BackupResult Take(const Repository& repository, SnapshotInMemory& source,
                    BackupType type = BackupType::kFull) {
    return RunBackup(env_, executor_, repository, source, {.type = type});
  }
  base::Bytes Restored(const Repository& repository, const std::string& id) {
    const auto result =
        Restore(env_, executor_, repository,
                {.database = "orders", .backup = id, .output = "/out/db", .force = true});
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return env::ReadFile(env_, "/out/db", 1 << 30).value();
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  test::S3World world_;
  test::FakeS3* network_ = nullptr;
};

TEST_F(S3Repository, BackupsOfAllTypesAreVerifiedAndRestored) {
  const auto repository = Connect();
  SnapshotInMemory first(4096, 3000, 1, {base::Term(1), base::Seq(10)});  // more than a part
  const BackupResult full = Take(*repository, first);
  ASSERT_TRUE(full.status.ok()) << full.status.ToString();
  EXPECT_EQ(Restored(*repository, full.document.id), first.images());
  SnapshotInMemory other(4096, 3000, 2, {base::Term(1), base::Seq(20)});
  const BackupResult increment = Take(*repository, other, BackupType::kIncremental);
  ASSERT_TRUE(increment.status.ok()) << increment.status.ToString();
  EXPECT_EQ(Restored(*repository, ""), other.images());
  const BackupResult same = Take(*repository, other, BackupType::kDifferential);
  ASSERT_TRUE(same.status.ok()) << same.status.ToString();
  const VerifyResult verified =
      VerifyBackup(env_, executor_, *repository, "orders", increment.document.id, {});
  EXPECT_TRUE(verified.status.ok()) << verified.status.ToString();
  EXPECT_TRUE(verified.recorded);
  EXPECT_EQ(repository->Databases().value(), std::vector<std::string>{"orders"});
}

TEST_F(S3Repository, AProcessKilledAtAnyRequestLeavesNothingThatTheNextBackupDoesNotClear) {
  SnapshotInMemory first(512, 20, 1, {base::Term(1), base::Seq(10)});
  SnapshotInMemory second(4096, 2500, 2, {base::Term(1), base::Seq(20)});
  const BackupResult base = Take(*Connect(), first);
  ASSERT_TRUE(base.status.ok());
  for (uint64_t nth = 1; nth < 500; nth += 2) {
    const auto killed =
        Connect({.fault = test::S3Fault::kAnswerLost, .nth = nth, .for_ever = true});
    const bool reported = Take(*killed, second).status.ok();
    const bool fired = network_->fired();
    const auto repository = Connect();
    const BackupList left = repository->List("orders").value();
    for (const BackupDocument& document : left.backups) {
      ASSERT_EQ(Restored(*repository, document.id),
                document.position == first.at().position ? first.images() : second.images())
          << nth;
    }
    EXPECT_GE(left.backups.size(), reported ? 2u : 1u);
    // It waits for the lease of the one that was killed.
    const BackupResult next = Take(*repository, first);
    ASSERT_TRUE(next.status.ok()) << nth << ": " << next.status.ToString();
    const BackupList list = repository->List("orders").value();
    for (const BackupDocument& document : list.backups) {
      if (document.id != base.document.id) {
        ASSERT_TRUE(repository->RemoveDocument(document).ok());
      }
    }
    ASSERT_TRUE(Take(*repository, first).status.ok());
    base::MutexLock lock(world_.mutex);
    for (const auto& [key, bytes] : world_.objects) {
      EXPECT_FALSE(key.ends_with(".partial")) << key;
      EXPECT_THAT(key, ::testing::Not(HasSubstr("-0000000000000014.ltx"))) << nth;
    }
    for (const auto& [id, upload] : world_.uploads) EXPECT_THAT(upload.parts, IsEmpty()) << nth;
    if (!fired) break;
  }
}

TEST_F(S3Repository, AHostThatSleptWhileItsLockWasTakenListsNothing) {
  SnapshotInMemory first(512, 20, 1, {base::Term(1), base::Seq(10)});
  SnapshotInMemory second(512, 20, 2, {base::Term(1), base::Seq(20)});
  const auto here = Connect();
  const auto there = Connect();
  bool taken = false;
  const BackupResult slept =
      RunBackup(env_, executor_, *here, first, {.progress = [&](const base::Progress&) {
                  if (taken) return true;
                  taken = true;
                  const BackupResult other = Take(*there, second);
                  EXPECT_TRUE(other.status.ok()) << other.status.ToString();
                  return true;
                }});
  EXPECT_TRUE(taken);
  EXPECT_EQ(slept.status.code(), base::Code::kFenced);
  EXPECT_EQ(here->List("orders")->backups.size(), 1u);
  EXPECT_EQ(Restored(*here, ""), second.images());
}

TEST_F(S3Repository, AfterAKillTheSameHostWaitsForNothing) {
  GiveBootId();
  SnapshotInMemory source(512, 20, 1, {base::Term(1), base::Seq(10)});
  const auto kill_in_a_backup = [&] {
    const auto killed = Connect({.fault = test::S3Fault::kAnswerLost, .nth = 12, .for_ever = true});
    killed->SetHostLocks("/data/locks");
    EXPECT_FALSE(Take(*killed, source).status.ok());
    EXPECT_TRUE(network_->fired());
  };
  kill_in_a_backup();
  const auto again = Connect();
  again->SetHostLocks("/data/locks");
  const base::SteadyTime began = env_.Now();
  ASSERT_TRUE(again->LockDatabase("orders", /*take_over=*/false).ok());
  EXPECT_EQ(env_.Now(), began);
  const BackupResult next = Take(*again, source);
  ASSERT_TRUE(next.status.ok()) << next.status.ToString();
  EXPECT_LT(env_.Now() - began, store::kLockLease);

  // A server of another directory cannot know it, even on the same machine.
  kill_in_a_backup();
  const auto other = Connect();
  other->SetHostLocks("/other/locks");
  EXPECT_EQ(other->LockDatabase("orders", false).status().code(), base::Code::kBusy);
}

TEST_F(S3Repository, TwoOfOneHostNeverHaveTheLockAtOnce) {
  GiveBootId();
  const auto one = Connect();
  const auto two = Connect();
  one->SetHostLocks("/data/locks");
  two->SetHostLocks("/data/locks");
  auto held = one->LockDatabase("orders");
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(two->LockDatabase("orders", false).status().code(), base::Code::kBusy);
  EXPECT_TRUE((*held)->Check().ok());
  held->reset();
  EXPECT_TRUE(two->LockDatabase("orders", false).ok());
}

TEST_F(S3Repository, WritingIsNoFasterThanTheLimit) {
  const auto repository = Connect();
  SnapshotInMemory source(4096, 3000, 1, {base::Term(1), base::Seq(10)});
  const base::SteadyTime began = env_.Now();
  const BackupResult result =
      RunBackup(env_, executor_, *repository, source, {.bytes_per_second = 1 << 20});
  ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  const auto seconds = (env_.Now() - began) / std::chrono::seconds(1);
  EXPECT_GE(seconds + 3, static_cast<int64_t>(result.document.bytes_stored >> 20));
}

}  // namespace
}  // namespace understudy::backup
