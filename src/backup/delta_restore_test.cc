// SPDX-License-Identifier: Apache-2.0
// A restore onto an existing file writes what differs, and whatever stops it, the file is the old
// database, the new one, or one that SQLite refuses and the next restore finishes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_engine.h"
#include "backup/delta_restore.h"
#include "log/page_table.h"
#include "sqlite/env_vfs.h"
#include "sqlite/exclusive_file.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kPageSize = 512;
constexpr uint32_t kPages = 40;
constexpr uint64_t kFileMax = 1 << 30;
const std::string kFile = "/out/db";

// A repository with a full backup and an increment of it in which pages 3, 4 and 41 differ.
class DeltaRestore : public ::testing::Test {
 protected:
  DeltaRestore() {
    EXPECT_TRUE(env_.MakeDirectories("/out").ok());
    repository_ = Repository::OpenOrCreate(env_, "/repo").value();
    full_ = Take(BackupType::kFull, base_);
    increment_ = Take(BackupType::kIncremental, next_);
    Put(kFile, base_.images());
  }

  static SnapshotInMemory State(uint64_t seq, const std::vector<uint32_t>& changed,
                                uint32_t pages = kPages) {
    SnapshotInMemory state(kPageSize, pages, 5, {base::Term(1), base::Seq(seq)});
    for (const uint32_t page : changed) state.Page(page)[100] ^= 0x5a;
    state.ComputeChecksum();
    return state;
  }
  std::string Take(BackupType type, SnapshotSource& source) {
    env_.clock().Advance(std::chrono::minutes(1));
    const BackupResult result = RunBackup(env_, executor_, *repository_, source, {.type = type});
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    return result.document.id;
  }
  // As a process that may be killed: with an Env and a VFS of its own.
  base::Result<DeltaResult> Onto(env::Env& env, const std::string& backup,
                                 uint64_t images_max = kDeltaImagesMax,
                                 const base::ProgressSink& progress = {}) {
    const sqlite::EnvVfs vfs(env);
    return RestoreOnto(env, executor_, *repository_,
                       {.database = "orders",
                        .backup = backup,
                        .file = kFile,
                        .vfs = vfs.name(),
                        .images_max = images_max,
                        .progress = progress});
  }
  base::Bytes Content(const std::string& path = kFile) {
    return env::ReadFile(env_, path, kFileMax).value();
  }
  void Put(const std::string& path, base::ByteView content) {
    auto file = env_.Open(path, env::OpenMode::kCreateTruncate);
    ASSERT_TRUE((*file)->WriteAt(0, content).ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE(env_.SyncDirectory("/out").ok());
  }
  base::Code OpenedBySqlite() {
    const sqlite::EnvVfs vfs(env_);
    const auto connection = sqlite::Connection::Open(kFile, {.vfs = vfs.name()});
    return (*connection)->QueryInt("PRAGMA schema_version").status().code();
  }
  bool IsHalf() {
    constexpr std::string_view kMagic = "SQLite format 3";
    const base::Bytes content = Content();
    return !std::equal(kMagic.begin(), kMagic.end(), content.begin());
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  SnapshotInMemory base_ = State(77, {});
  SnapshotInMemory next_ = State(90, {3, 4}, kPages + 1);
  std::unique_ptr<Repository> repository_;
  std::string full_;
  std::string increment_;
};

TEST_F(DeltaRestore, WritesOnlyThePagesThatDiffer) {
  const auto result = Onto(env_, increment_);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(Content(), next_.images());
  EXPECT_EQ(result->bytes_written, 4 * kPageSize);  // and page 1, last
  EXPECT_EQ(result->bytes_kept, (kPages + 1 - 4) * kPageSize);
  EXPECT_THAT(env_.List("/out").value(), ElementsAre("db"));

  const auto back = Onto(env_, full_);  // it shrinks again
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(Content(), base_.images());
  EXPECT_EQ(back->bytes_written, 3 * kPageSize);
}

TEST_F(DeltaRestore, WritesNothingWhereNothingDiffers) {
  const auto result = Onto(env_, full_);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->bytes_written, 0u);
  EXPECT_EQ(Content(), base_.images());
}

TEST_F(DeltaRestore, ReadsTheDataTwiceWhenMemoryDoesNotHoldIt) {
  const auto result = Onto(env_, increment_, /*images_max=*/kPageSize);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(Content(), next_.images());
}

TEST_F(DeltaRestore, TakesTheMarkOfAPassiveCopyAway) {
  base::Bytes marked = base_.images();
  marked[log::kWriteVersionOffset] = log::kWriteVersionReadOnly;
  Put(kFile, marked);
  const auto result = Onto(env_, full_);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(Content(), base_.images());
}

TEST_F(DeltaRestore, RemovesJournalsThatBelongToTheOldContent) {
  Put(kFile + "-wal", base::AsBytes("stale"));
  Put(kFile + "-journal", base::AsBytes("stale"));
  ASSERT_TRUE(Onto(env_, full_).ok());
  EXPECT_THAT(env_.List("/out").value(), ElementsAre("db"));
  EXPECT_EQ(Content(), base_.images());
}

TEST_F(DeltaRestore, RefusesAFileThatIsInUse) {
  const sqlite::EnvVfs vfs(env_);
  const auto reader = sqlite::Connection::Open(kFile, {.vfs = vfs.name()});
  const auto file = sqlite::ExclusiveFile::Open(kFile, vfs.name());
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const auto refused =
      RestoreOnto(env_, executor_, *repository_,
                  {.database = "orders", .backup = increment_, .file = kFile, .vfs = vfs.name()});
  EXPECT_EQ(refused.status().code(), base::Code::kBusy);
  EXPECT_THAT(refused.status().message(), HasSubstr("/out/db is in use"));
  EXPECT_EQ(Content(), base_.images());
}

TEST_F(DeltaRestore, RefusesWhatIsNoDatabaseOrHasOtherPages) {
  EXPECT_EQ(RestoreOnto(env_, executor_, *repository_, {.database = "orders", .file = "/out/none"})
                .status()
                .code(),
            base::Code::kNotFound);
  Put(kFile, base::Bytes(4096, 'x'));
  const auto letter = Onto(env_, full_);
  EXPECT_EQ(letter.status().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(letter.status().message(), HasSubstr("it is no SQLite database"));
  base::Bytes other = base_.images();
  base::StoreBe16(other.data() + 16, 4096);
  Put(kFile, other);
  const auto pages = Onto(env_, full_);
  EXPECT_EQ(pages.status().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(pages.status().message(), HasSubstr("4096 bytes"));
  EXPECT_EQ(Content(), other);
}

TEST_F(DeltaRestore, ChangesNothingWhenTheBackupIsDamagedOrTheDiskIsFull) {
  const std::string data =
      repository_->FilePath(repository_->Find("orders", increment_)->files.front());
  env_.SetSpaceLimit(1);
  const auto full = Onto(env_, increment_);
  EXPECT_EQ(full.status().code(), base::Code::kNoSpace);
  EXPECT_THAT(full.status().message(), HasSubstr("grows from 20480 to 20992 bytes"));
  env_.SetSpaceLimit(kFileMax);
  const base::Bytes good = Content(data);
  for (size_t at = 0; at < good.size(); at += 3) {
    base::Bytes bad = good;
    bad[at] ^= 0x10;
    auto file = env_.Open(data, env::OpenMode::kReadWrite);
    ASSERT_TRUE((*file)->WriteAt(0, bad).ok());
    ASSERT_FALSE(Onto(env_, increment_).ok()) << at;
    ASSERT_EQ(Content(), base_.images()) << at;
  }
}

TEST_F(DeltaRestore, AnEmptyFileIsFinishedWhereverItIsKilled) {
  const test::FaultPlan halting{.ops = test::kChangingOps, .halt_after = true};
  const uint64_t runs = test::FailEachOperation(halting, 500, [&](const test::FaultPlan& plan) {
    Put(kFile, {});
    test::FaultEnv faulty(env_);
    faulty.Arm(plan);
    Onto(faulty, full_).status().IgnoreError();
    EXPECT_TRUE(Onto(env_, full_).ok());
    EXPECT_EQ(Content(), base_.images());
    return faulty.fired();
  });
  EXPECT_GT(runs, 8u);
}

TEST_F(DeltaRestore, CancelledBeforeItWritesLeavesTheFile) {
  const auto cancelled =
      Onto(env_, increment_, kDeltaImagesMax,
           [](const base::Progress& progress) { return progress.phase != "restoring"; });
  EXPECT_EQ(cancelled.status().code(), base::Code::kCancelled);
  EXPECT_EQ(Content(), base_.images());
}

// The process or the machine dies at every change that it makes, with and without memory for all
// pages; then the same command is given again.
TEST_F(DeltaRestore, WhereverItIsKilledTheFileIsNeverHalfAndOpen) {
  uint64_t halves = 0;
  for (const uint64_t images_max : {kDeltaImagesMax, uint64_t{0}}) {
    for (uint64_t seed = 0; seed < 9; ++seed) {
      const test::FaultPlan halting{
          .ops = test::kChangingOps, .halt_after = true, .effect = test::Effect::kPartial};
      const uint64_t runs = test::FailEachOperation(halting, 500, [&](const test::FaultPlan& plan) {
        Put(kFile, base_.images());
        Put(kFile + "-wal", base::AsBytes("stale"));
        test::FaultEnv faulty(env_);
        faulty.Arm(plan);
        const auto result = Onto(faulty, increment_, images_max);
        EXPECT_TRUE(result.ok() || faulty.fired()) << result.status().ToString();
        EXPECT_TRUE(!result.ok() || !IsHalf());
        if (seed > 0) env_.PowerCut(seed);  // else the process alone died
        const base::Bytes content = Content();
        const bool has_wal = env::Exists(env_, kFile + "-wal");
        if (IsHalf()) {
          ++halves;
          EXPECT_EQ(OpenedBySqlite(), base::Code::kCorruption);
        } else if (has_wal) {
          EXPECT_EQ(content, base_.images());
        } else {
          EXPECT_EQ(content, next_.images());
        }
        const auto again = Onto(env_, increment_, images_max);
        EXPECT_TRUE(again.ok()) << again.status().ToString();
        EXPECT_EQ(Content(), next_.images());
        EXPECT_FALSE(env::Exists(env_, kFile + "-wal"));
        return faulty.fired();
      });
      EXPECT_GT(runs, 8u);
    }
  }
  EXPECT_GT(halves, 50u);
}

}  // namespace
}  // namespace understudy::backup
