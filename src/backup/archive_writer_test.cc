// SPDX-License-Identifier: Apache-2.0
// The archive: what is written between backups, and that every state of it comes back.
#include "backup/archive_writer.h"

#include <gmock/gmock.h>

#include "backup/backup_engine.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "backup/wanted_backup.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::HasSubstr;

constexpr uint32_t kPageSize = 512;

class ArchiveTest : public ::testing::Test {
 protected:
  ArchiveTest() { EXPECT_TRUE(env_.MakeDirectories("/out").ok()); }

  // Page seq % pages + 1 and the first differ from those of other seqs.
  SnapshotInMemory State(uint64_t seq, uint32_t pages = 40, uint64_t term = 1) {
    SnapshotInMemory state(kPageSize, pages, 5, {base::Term(term), base::Seq(seq)});
    state.Page(static_cast<uint32_t>(seq % pages) + 1)[100] ^= 0x5a;
    state.Page(1)[101] = static_cast<uint8_t>(seq);
    state.ComputeChecksum();
    state.OfferHashes();
    return state;
  }
  void Backup(BackupType type, SnapshotInMemory state) {
    env_.clock().Advance(std::chrono::minutes(1));
    const BackupResult result = RunBackup(env_, executor_, *repository_, state, {.type = type});
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  }
  ArchiveWriter Writer() { return {env_, executor_, *repository_, "orders", "test"}; }
  std::string Archive(ArchiveWriter& writer, SnapshotInMemory state) {
    env_.clock().Advance(std::chrono::seconds(10));
    const ArchiveResult result = writer.Add(state);
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    return result.stored ? result.stored->id : "";
  }
  base::Result<ChosenBackup> Choose(uint64_t seq) {
    return ChooseBackup(*repository_, "orders", {.seq = base::Seq(seq)});
  }
  // Of what is chosen for `wanted`: the restored file is the state at `seq`.
  void ExpectRestored(uint64_t wanted, SnapshotInMemory state) {
    const auto chosen = Choose(wanted);
    ASSERT_TRUE(chosen.ok()) << chosen.status().ToString();
    EXPECT_EQ(chosen->document.position.seq, state.at().position.seq);
    const auto result = Restore(
        env_, executor_, *repository_,
        {.database = "orders", .backup = chosen->document.id, .output = "/out/db", .force = true});
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_EQ(env::ReadFile(env_, "/out/db", 1 << 30).value(), state.images());
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  std::unique_ptr<Repository> repository_ = Repository::OpenOrCreate(env_, "/repo").value();
};

TEST_F(ArchiveTest, EveryArchivedStateComesBack) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter writer = Writer();
  Archive(writer, State(11));
  Archive(writer, State(15, 60));  // it grew
  Archive(writer, State(20, 30));  // and shrank
  ExpectRestored(10, State(10));
  ExpectRestored(14, State(11));
  ExpectRestored(19, State(15, 60));
  ExpectRestored(99, State(20, 30));
  EXPECT_EQ(Choose(14)->next->position.seq.value, 15u);
  EXPECT_FALSE(Choose(20)->next);
  const VerifyResult verified = VerifyBackup(env_, executor_, *repository_, "orders",
                                             Choose(19)->document.id, {.record = false});
  EXPECT_TRUE(verified.status.ok()) << verified.status.ToString();
}

TEST_F(ArchiveTest, ReadsAndStoresChangedPagesOnly) {
  Backup(BackupType::kFull, State(10, 4000));
  ArchiveWriter writer = Writer();
  Archive(writer, State(11, 4000));
  SnapshotInMemory state = State(12, 4000);
  ASSERT_TRUE(writer.Add(state).status.ok());
  EXPECT_LE(state.pages_read(), 3u);
}

TEST_F(ArchiveTest, NothingNewIsNotArchived) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter writer = Writer();
  EXPECT_EQ(Archive(writer, State(10)), "");
  EXPECT_NE(Archive(writer, State(11)), "");
  EXPECT_EQ(Archive(writer, State(11)), "");
  EXPECT_EQ(Archive(writer, State(10)), "");  // of a copy that is behind
}

TEST_F(ArchiveTest, AnotherWriterGoesOnWhereTheLastOneEnded) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter first = Writer();
  ArchiveWriter second = Writer();
  Archive(first, State(11));
  const std::string id = Archive(second, State(12));
  Archive(first, State(13));
  EXPECT_EQ(first.tail()->base, id);
  EXPECT_EQ(first.since_root(), 3u);
  ExpectRestored(13, State(13));
}

TEST_F(ArchiveTest, TwoThatWentOnFromOneStateAreBothRight) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter first = Writer();
  Archive(first, State(11));
  auto other = Repository::Open(env_, "/repo").value();
  const std::string folder = "/repo/orders/archive/" + Choose(10)->document.id;
  const auto names = env_.List(folder).value();
  // The second one does not see what the first has written.
  for (const std::string& name : names) {
    ASSERT_TRUE(env_.Rename(folder + "/" + name, "/out/" + name).ok());
  }
  ArchiveWriter second = Writer();
  Archive(second, State(12));
  for (const std::string& name : names) {
    ASSERT_TRUE(env_.Rename("/out/" + name, folder + "/" + name).ok());
  }
  ExpectRestored(11, State(11));
  ExpectRestored(12, State(12));
  Archive(first, State(13));  // follows the second one's
  ExpectRestored(13, State(13));
}

TEST_F(ArchiveTest, ANewerBackupIsTheRoot) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter writer = Writer();
  Archive(writer, State(11));
  Backup(BackupType::kIncremental, State(12));
  Backup(BackupType::kCopy, State(13));  // is never one
  Archive(writer, State(14));
  EXPECT_EQ(writer.tail()->base, Choose(12)->document.id);
  EXPECT_EQ(writer.since_root(), 1u);
  ExpectRestored(11, State(11));
  ExpectRestored(14, State(14));
}

TEST_F(ArchiveTest, WithoutABackupOneIsNeeded) {
  SnapshotInMemory state = State(10);
  ASSERT_TRUE(repository_->PrepareDatabase("orders", state.origin().database).ok());
  ArchiveWriter writer = Writer();
  const ArchiveResult result = writer.Add(state);
  EXPECT_EQ(result.status.code(), base::Code::kNotFound);
  EXPECT_TRUE(result.needs_root);
}

TEST_F(ArchiveTest, AFullChainNeedsANewRoot) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter writer = Writer();
  for (size_t i = 1; i <= kArchivedMax; ++i) Archive(writer, State(10 + i));
  SnapshotInMemory state = State(2000);
  const ArchiveResult result = writer.Add(state);
  EXPECT_TRUE(result.needs_root);
  EXPECT_THAT(result.status.message(), HasSubstr("360 archived states"));
  ExpectRestored(10 + kArchivedMax, State(10 + kArchivedMax));
  Backup(BackupType::kIncremental, State(3000));
  Archive(writer, State(3001));
  ExpectRestored(3001, State(3001));
}

TEST_F(ArchiveTest, ADamagedChainNeedsANewRootAndIsPassedOver) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter writer = Writer();
  const std::string first = Archive(writer, State(11));
  Archive(writer, State(12));
  const auto state = FindArchived(*repository_, "orders", first);
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(env_.Remove("/repo/" + ArchiveDocumentKey("orders", *state)).ok());
  ArchiveWriter again = Writer();
  SnapshotInMemory now = State(13);
  const ArchiveResult result = again.Add(now);
  EXPECT_EQ(result.status.code(), base::Code::kCorruption);
  EXPECT_TRUE(result.needs_root);
  ExpectRestored(12, State(10));
}

TEST_F(ArchiveTest, AfterAFailoverWithLossItWaitsUntilTheSeqIsPassed) {
  Backup(BackupType::kFull, State(10));
  ArchiveWriter writer = Writer();
  Archive(writer, State(20));
  SnapshotInMemory behind = State(15, 40, 2);
  const ArchiveResult result = writer.Add(behind);
  EXPECT_EQ(result.status.code(), base::Code::kUnavailable);
  EXPECT_FALSE(result.needs_root);
  Archive(writer, State(21, 40, 2));
  ExpectRestored(21, State(21, 40, 2));
}

TEST_F(ArchiveTest, ArchivesGoWithTheirRoot) {
  Backup(BackupType::kFull, State(10));
  const std::string root = Choose(10)->document.id;
  ArchiveWriter writer = Writer();
  Archive(writer, State(11));
  Backup(BackupType::kFull, State(12));
  EXPECT_FALSE(ListArchive(*repository_, "orders", root)->empty());
  ASSERT_TRUE(env_.Remove(repository_->DocumentPath("orders", root)).ok());
  Backup(BackupType::kFull, State(13));
  EXPECT_TRUE(ListArchive(*repository_, "orders", root)->empty());
}

// A kill, and a power cut, at every operation.
TEST_F(ArchiveTest, WhateverFailsWhatIsListedIsWhole) {
  const uint64_t runs = test::FailEachOperation(
      {.ops = test::kChangingOps, .halt_after = true}, 500, [&](const test::FaultPlan& plan) {
        test::MemEnv disk;
        EXPECT_TRUE(disk.MakeDirectories("/r").ok());
        EXPECT_TRUE(disk.SyncDirectory("/").ok());
        auto stable = Repository::OpenOrCreate(disk, "/r/repo").value();
        SnapshotInMemory full = State(10);
        EXPECT_TRUE(RunBackup(disk, executor_, *stable, full, {}).status.ok());
        test::FaultEnv faulty(disk);
        auto repository = Repository::Open(faulty, "/r/repo").value();
        ArchiveWriter writer(faulty, executor_, *repository, "orders", "test");
        faulty.Arm(plan);
        SnapshotInMemory state = State(11);
        const bool reported = writer.Add(state).status.ok();
        disk.PowerCutDropAll();
        const auto chosen = ChooseBackup(*stable, "orders", {.seq = base::Seq(11)});
        EXPECT_TRUE(chosen.ok()) << plan.nth << ": " << chosen.status().ToString();
        if (reported) {
          EXPECT_EQ(chosen->document.position.seq.value, 11u);
        }
        ArchiveWriter again(disk, executor_, *stable, "orders", "test");
        SnapshotInMemory next = State(12);
        const ArchiveResult added = again.Add(next);
        EXPECT_TRUE(added.status.ok()) << plan.nth << ": " << added.status.ToString();
        const auto restored =
            Restore(disk, executor_, *stable,
                    {.database = "orders", .backup = added.stored->id, .output = "/r/db"});
        EXPECT_TRUE(restored.ok()) << plan.nth << ": " << restored.status().ToString();
        EXPECT_EQ(env::ReadFile(disk, "/r/db", 1 << 30).value(), next.images());
        return faulty.fired();
      });
  EXPECT_GT(runs, 5u);
}

}  // namespace
}  // namespace understudy::backup
