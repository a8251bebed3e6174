// SPDX-License-Identifier: Apache-2.0
#include "backup/backup_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/restore.h"
#include "backup/verify.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"
#include "testing/temp_dir.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr base::Position kPosition{base::Term(3), base::Seq(0x6ce)};

class BackupEngine : public ::testing::Test {
 protected:
  BackupEngine() { EXPECT_TRUE(env_.MakeDirectories("/r").ok()); }

  BackupResult Run(env::Env& env, SnapshotSource& source, const BackupOptions& options = {}) {
    auto repository = Repository::OpenOrCreate(env, "/r/repo");
    if (!repository.ok()) return {.status = repository.status(), .document = {}};
    return RunFull(env, executor_, **repository, source, options);
  }
  BackupResult Run(SnapshotSource& source, const BackupOptions& options = {}) {
    return Run(env_, source, options);
  }
  std::unique_ptr<Repository> Open() {
    auto repository = Repository::Open(env_, "/r/repo");
    EXPECT_TRUE(repository.ok()) << repository.status().ToString();
    return std::move(*repository);
  }
  size_t Listed() { return Open()->List("orders").value().backups.size(); }
  base::Bytes Restored(const std::string& output, const std::string& id = "") {
    auto result = Restore(env_, executor_, *Open(),
                          {.database = "orders", .backup = id, .output = output, .progress = {}});
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return env::ReadFile(env_, output, 1 << 30).value();
  }
  std::vector<std::string> Names(const std::string& directory) {
    auto names = env_.List("/r/repo/orders/" + directory);
    if (names.status().code() == base::Code::kNotFound) return {};  // nothing was ever put there
    return std::move(*names);
  }

  // After whatever happened to a backup of `later`: all that is listed can be restored and is
  // right, what was reported is listed, and the next backup works and clears everything up.
  void CheckWorld(env::Env& disk, bool reported, const SnapshotInMemory& earlier,
                  SnapshotInMemory& later) {
    auto repository = Repository::Open(disk, "/r/repo");
    ASSERT_TRUE(repository.ok()) << repository.status().ToString();
    const BackupList list = (*repository)->List("orders").value();
    ASSERT_EQ(list.unreadable.size(), 0u);
    ASSERT_GE(list.backups.size(), reported ? 2u : 1u);
    for (const BackupDocument& document : list.backups) {
      const auto restored =
          Restore(disk, executor_, **repository,
                  {.database = "orders", .backup = document.id, .output = "/r/" + document.id});
      ASSERT_TRUE(restored.ok()) << restored.status().ToString();
      ASSERT_EQ(env::ReadFile(disk, "/r/" + document.id, 1 << 30).value(),
                document.position == earlier.at().position ? earlier.images() : later.images());
    }
    const BackupResult next = Run(disk, later);
    ASSERT_TRUE(next.status.ok()) << next.status.ToString();
    EXPECT_THAT(disk.List("/r/repo/orders/partial").value(), IsEmpty());
    const std::vector<std::string> names = disk.List("/r/repo/orders/backups").value();
    for (const std::string& name : names) {
      EXPECT_THAT(name, ::testing::EndsWith(".json"));
    }
    EXPECT_EQ(disk.List("/r/repo/orders/ltx/9").value().size(), 2u);
  }

  test::MemEnv env_;
  InlineExecutor executor_;
};

TEST_F(BackupEngine, RestoresEveryPageSizeByteForByte) {
  for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
    // More than two chunks, the last one not full.
    const uint32_t pages = 2 * (1 << 20) / page_size + 3;
    SnapshotInMemory source(page_size, pages, page_size, {base::Term(1), base::Seq(page_size)});
    source.Mark();
    const BackupResult result = Run(source);
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
    EXPECT_EQ(result.state, WriterState::kStable);
    EXPECT_EQ(result.phase, Phase::kBackupComplete);
    EXPECT_EQ(Restored("/r/out" + std::to_string(page_size), result.document.id), source.images());
  }
}

TEST_F(BackupEngine, OnePageIsADatabase) {
  SnapshotInMemory source(4096, 1, 1, kPosition);
  ASSERT_TRUE(Run(source).status.ok());
  EXPECT_EQ(Restored("/r/out"), source.images());
}

TEST_F(BackupEngine, DocumentTellsEverything) {
  SnapshotInMemory source(1024, 100, 7, kPosition);
  const BackupResult result = Run(source, {.progress = {}, .software = "understudy 0.1.0"});
  ASSERT_TRUE(result.status.ok()) << result.status.ToString();

  const auto found = Open()->Find("orders", result.document.id);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  const BackupDocument& document = found.value();
  EXPECT_EQ(ToJson(document), ToJson(result.document));
  EXPECT_EQ(document.position, kPosition);
  EXPECT_EQ(document.checksum, source.at().checksum);
  EXPECT_EQ(document.server, "s2");
  EXPECT_EQ(document.role, "passive");
  EXPECT_EQ(document.bytes_pages, 102400u);
  EXPECT_EQ(document.verification.state, VerificationState::kGood);
  ASSERT_EQ(document.files.size(), 1u);
  EXPECT_EQ(document.files[0].path, "orders/ltx/9/0000000000000001-00000000000006ce.ltx");
  const auto about = env_.Stat("/r/repo/" + document.files[0].path);
  ASSERT_TRUE(about.ok());
  EXPECT_EQ(about.value().size, document.files[0].bytes);
  EXPECT_EQ(about.value().modified, source.at().commit_time);  // Litestream's time of the snapshot
}

TEST_F(BackupEngine, SecondBackupAtOnePositionSharesTheFileAfterReadingIt) {
  SnapshotInMemory source(4096, 600, 7, kPosition);
  ASSERT_TRUE(Run(source).status.ok());
  const BackupResult second = Run(source);
  ASSERT_TRUE(second.status.ok()) << second.status.ToString();
  EXPECT_TRUE(second.document.files[0].reused);
  EXPECT_EQ(Listed(), 2u);
  EXPECT_EQ(Restored("/r/out", second.document.id), source.images());
}

TEST_F(BackupEngine, SecondBackupReplacesADamagedFileOfTheSamePosition) {
  SnapshotInMemory source(4096, 600, 7, kPosition);
  const BackupResult first = Run(source);
  ASSERT_TRUE(first.status.ok());
  const std::string path = "/r/repo/" + first.document.files[0].path;
  auto file = env_.Open(path, env::OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->WriteAt(5000, base::Bytes{1, 2, 3}).ok());

  const BackupResult second = Run(source);
  ASSERT_TRUE(second.status.ok()) << second.status.ToString();
  EXPECT_FALSE(second.document.files[0].reused);
  EXPECT_EQ(Restored("/r/out", second.document.id), source.images());
}

TEST_F(BackupEngine, OtherContentAtTheSameSeqIsRefused) {
  SnapshotInMemory source(4096, 10, 7, kPosition);
  ASSERT_TRUE(Run(source).status.ok());
  SnapshotInMemory other(4096, 10, 8, {base::Term(4), kPosition.seq});
  const BackupResult result = Run(other);
  EXPECT_EQ(result.status.code(), base::Code::kDiverged);
  EXPECT_EQ(result.code, WriterCode::kNonRetryable);
  EXPECT_EQ(Restored("/r/out"), source.images());
}

TEST_F(BackupEngine, AnotherDatabaseOfTheSameNameIsRefused) {
  SnapshotInMemory source(4096, 10, 7, kPosition);
  ASSERT_TRUE(Run(source).status.ok());
  SnapshotInMemory other(4096, 10, 7, {base::Term(1), base::Seq(1)});
  other.mutable_origin().database.bytes.fill(0xee);
  const BackupResult result = Run(other);
  EXPECT_EQ(result.status.code(), base::Code::kDiverged);
  EXPECT_EQ(result.state, WriterState::kFailedAtPrepareBackup);
  EXPECT_THAT(result.status.message(), HasSubstr("another database called orders"));
}

TEST_F(BackupEngine, PagesThatDoNotHaveTheChecksumAreNoBackup) {
  SnapshotInMemory source(4096, 600, 7, kPosition);
  source.Page(300)[17] ^= 1;
  const BackupResult result = Run(source);
  EXPECT_EQ(result.status.code(), base::Code::kCorruption);
  EXPECT_EQ(result.state, WriterState::kFailedAtBackupComplete);
  EXPECT_EQ(Listed(), 0u);
  EXPECT_THAT(Names("partial"), IsEmpty());
  EXPECT_THAT(Names("ltx/9"), IsEmpty());
}

TEST_F(BackupEngine, ReadFailureOfTheSourceNamesThePage) {
  SnapshotInMemory source(4096, 600, 7, kPosition);
  source.FailReads(base::IoError("disk is gone"));
  const BackupResult result = Run(source);
  EXPECT_EQ(result.status.code(), base::Code::kIoError);
  EXPECT_THAT(result.status.message(), HasSubstr("backup of orders into /r/repo"));
  EXPECT_EQ(result.code, WriterCode::kRetryable);
}

TEST_F(BackupEngine, CancelAtAnyMomentLeavesNothing) {
  SnapshotInMemory source(4096, 2000, 7, kPosition);
  int calls = 0;
  const BackupOptions count{.progress = [&calls](const base::Progress&) { return ++calls > 0; }};
  ASSERT_TRUE(Run(source, count).status.ok());
  ASSERT_GT(calls, 10);
  SnapshotInMemory next(4096, 2000, 8, {base::Term(3), base::Seq(0x6cf)});
  for (int at = 1; at <= calls; ++at) {
    int call = 0;
    const BackupResult result =
        Run(next, {.progress = [&](const base::Progress&) { return ++call < at; }});
    ASSERT_EQ(result.status.code(), base::Code::kCancelled) << at;
    ASSERT_EQ(Listed(), 1u);
    ASSERT_THAT(Names("partial"), IsEmpty());
    ASSERT_EQ(Names("ltx/9").size(), 1u);
  }
}

TEST_F(BackupEngine, ProgressNeverGoesBackWithinAPhase) {
  SnapshotInMemory source(4096, 3000, 7, kPosition);
  std::vector<base::Progress> seen;
  ASSERT_TRUE(Run(source, {.progress =
                               [&](const base::Progress& progress) {
                                 seen.push_back(progress);
                                 return true;
                               }})
                  .status.ok());
  for (size_t i = 1; i < seen.size(); ++i) {
    EXPECT_TRUE(seen[i].phase != seen[i - 1].phase || seen[i].bytes_done >= seen[i - 1].bytes_done);
  }
  EXPECT_EQ(seen.front().phase, "backing up");
  EXPECT_EQ(seen.back().phase, "verifying");
  EXPECT_EQ(seen.back().bytes_done, seen.back().bytes_total);
}

TEST_F(BackupEngine, FullDiskIsForetoldWithNumbers) {
  SnapshotInMemory source(4096, 2000, 7, kPosition);
  env_.SetSpaceLimit(1 << 20);
  const BackupResult result = Run(source);
  EXPECT_EQ(result.status.code(), base::Code::kNoSpace);
  EXPECT_EQ(result.code, WriterCode::kOutOfResources);
  EXPECT_THAT(result.status.message(), HasSubstr("it needs about"));
  EXPECT_THAT(result.status.message(), HasSubstr("are free there"));
  EXPECT_EQ(Listed(), 0u);
}

TEST_F(BackupEngine, TimeIsForetoldByAnEarlierBackupAndRefusedWithNumbers) {
  SnapshotInMemory source(4096, 2000, 7, kPosition);
  std::vector<Prediction> predictions;
  BackupOptions options;
  options.predicted = [&](const Prediction& prediction) { predictions.push_back(prediction); };
  options.time_max = std::chrono::seconds(5);
  // It lasts 10 s; nothing tells so before.
  options.progress = [&, slow = true](const base::Progress&) mutable {
    if (std::exchange(slow, false)) env_.clock().Advance(std::chrono::seconds(10));
    return true;
  };
  const BackupResult first = Run(source, options);
  ASSERT_TRUE(first.status.ok()) << first.status.ToString();
  ASSERT_EQ(predictions.size(), 1u);
  EXPECT_FALSE(predictions[0].lasts);
  EXPECT_NEAR(static_cast<double>(predictions[0].bytes_to_store),
              static_cast<double>(first.document.bytes_stored),
              static_cast<double>(first.document.bytes_stored) / 10);

  SnapshotInMemory later(4096, 2000, 8, {base::Term(3), base::Seq(0x7000)});
  const BackupResult refused = Run(later, options);
  EXPECT_EQ(refused.status.code(), base::Code::kTimedOut);
  EXPECT_EQ(refused.phase, Phase::kPrepareForBackup);
  EXPECT_EQ(refused.code, WriterCode::kTimeout);
  EXPECT_THAT(refused.status.message(), HasSubstr("as backup " + first.document.id));
  EXPECT_THAT(refused.status.message(), HasSubstr("5 s are allowed"));
  EXPECT_EQ(Listed(), 1u);
  ASSERT_EQ(predictions.size(), 2u);
  EXPECT_EQ(predictions[1].told_by, first.document.id);
  EXPECT_NEAR(static_cast<double>(predictions[1].lasts.value().count()) / 1e9, 10, 1);

  options.time_max = std::chrono::seconds(20);
  EXPECT_TRUE(Run(later, options).status.ok());
}

TEST_F(BackupEngine, DiskThatFillsUpMeanwhileLeavesNothing) {
  SnapshotInMemory source(4096, 2000, 7, kPosition);
  int calls = 0;
  const BackupResult result = Run(source, {.progress = [&](const base::Progress&) {
                                    if (++calls == 2) env_.SetSpaceLimit(2 << 20);
                                    return true;
                                  }});
  EXPECT_EQ(result.status.code(), base::Code::kNoSpace);
  EXPECT_EQ(Listed(), 0u);
  EXPECT_THAT(Names("partial"), IsEmpty());
}

TEST_F(BackupEngine, DataThatNoDocumentListsIsRemovedUnlessADocumentCannotBeRead) {
  SnapshotInMemory source(4096, 10, 7, kPosition);
  const BackupResult first = Run(source);
  ASSERT_TRUE(first.status.ok());
  const std::string document = "/r/repo/orders/backups/" + first.document.id + ".json";
  const std::string data = "/r/repo/" + first.document.files[0].path;
  const base::Bytes good = env::ReadFile(env_, document, 1 << 20).value();
  ASSERT_TRUE(env::WriteFileAtomically(env_, document, base::AsBytes("{}")).ok());
  SnapshotInMemory second(4096, 10, 8, {base::Term(3), base::Seq(0x6cf)});
  ASSERT_TRUE(Run(second).status.ok());
  EXPECT_TRUE(env::Exists(env_, data));
  ASSERT_TRUE(env_.Remove(document).ok());
  ASSERT_TRUE(Run(second).status.ok());
  EXPECT_FALSE(env::Exists(env_, data));
  EXPECT_EQ(Restored("/r/out"), second.images());
}

TEST_F(BackupEngine, OnlyOneAtATimeForADatabase) {
  SnapshotInMemory source(4096, 10, 7, kPosition);
  ASSERT_TRUE(Run(source).status.ok());
  const auto repository = Open();
  const auto lock = repository->LockDatabase("orders");
  ASSERT_TRUE(lock.ok());
  const BackupResult result = Run(source);
  EXPECT_EQ(result.status.code(), base::Code::kBusy);
  EXPECT_EQ(result.code, WriterCode::kRetryable);
}

TEST_F(BackupEngine, ReadBackSeesWhatTheDiskChanged) {
  // Flipped bits in what is read from the disk: never a backup that is listed as good and is not.
  SnapshotInMemory source(4096, 2000, 7, kPosition);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    test::FaultEnv faulty(env_);
    faulty.FlipReads(seed, 3);
    const BackupResult result = Run(faulty, source);
    if (result.status.ok()) continue;
    EXPECT_EQ(Listed(), 0u) << result.status.ToString();
    EXPECT_THAT(Names("partial"), IsEmpty());
  }
}

TEST_F(BackupEngine, EveryFailingOperationLeavesNoHalfBackup) {
  SnapshotInMemory source(4096, 600, 7, kPosition);
  SnapshotInMemory earlier(4096, 300, 8, {base::Term(2), base::Seq(5)});
  for (const test::Effect effect :
       {test::Effect::kNone, test::Effect::kPartial, test::Effect::kWhole}) {
    const uint64_t runs =
        test::FailEachOperation({.effect = effect}, 2000, [&](const test::FaultPlan& plan) {
          test::MemEnv disk;
          EXPECT_TRUE(disk.MakeDirectories("/r").ok());
          EXPECT_TRUE(Run(disk, earlier).status.ok());
          test::FaultEnv faulty(disk);
          faulty.Arm(plan);
          const BackupResult result = Run(faulty, source);
          faulty.Disarm();
          CheckWorld(disk, result.status.ok(), earlier, source);
          return faulty.fired();
        });
    EXPECT_GT(runs, 30u);
  }
}

TEST_F(BackupEngine, PowerCutAtEveryOperationLeavesNoHalfBackup) {
  SnapshotInMemory source(4096, 600, 7, kPosition);
  SnapshotInMemory earlier(4096, 300, 8, {base::Term(2), base::Seq(5)});
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const uint64_t runs = test::FailEachOperation(
        {.ops = test::kChangingOps, .halt_after = true, .effect = test::Effect::kPartial}, 2000,
        [&](const test::FaultPlan& plan) {
          test::MemEnv disk({.seed = plan.nth});
          EXPECT_TRUE(disk.MakeDirectories("/r").ok());
          EXPECT_TRUE(Run(disk, earlier).status.ok());
          test::FaultEnv faulty(disk);
          faulty.Arm(plan);
          const BackupResult result = Run(faulty, source);
          seed == 0 ? disk.PowerCutDropAll() : disk.PowerCut(seed * 1000 + plan.nth);
          CheckWorld(disk, result.status.ok(), earlier, source);
          return faulty.fired();
        });
    EXPECT_GT(runs, 20u);
  }
}

TEST_F(BackupEngine, PowerCutDuringTheFirstUseOfARepositoryCanBeRepeated) {
  SnapshotInMemory source(4096, 20, 7, kPosition);
  test::FailEachOperation(
      {.ops = test::kChangingOps, .halt_after = true}, 2000, [&](const test::FaultPlan& plan) {
        test::MemEnv disk;
        EXPECT_TRUE(disk.MakeDirectories("/r").ok());
        test::FaultEnv faulty(disk);
        faulty.Arm(plan);
        const bool reported = Run(faulty, source).status.ok();
        disk.PowerCutDropAll();
        const BackupResult again = Run(disk, source);
        EXPECT_TRUE(again.status.ok()) << plan.nth << ": " << again.status.ToString();
        auto repository = Repository::Open(disk, "/r/repo");
        // A process that died between listing a backup and saying so leaves a whole one.
        const size_t listed = repository.value()->List("orders").value().backups.size();
        EXPECT_GE(listed, reported ? 2u : 1u) << plan.nth;
        EXPECT_LE(listed, 2u) << plan.nth;
        return faulty.fired();
      });
}

TEST(BackupOnThreads, RoundTripsOnTheRealDisk) {
  test::TempDir directory;
  env::Env& env = env::PosixEnv();
  ThreadExecutor executor(4);
  const auto repository = Repository::OpenOrCreate(env, directory.File("repo"));
  ASSERT_TRUE(repository.ok()) << repository.status().ToString();
  SnapshotInMemory source(4096, 40000, 9, kPosition);  // more than two syncs
  uint64_t calls = 0;
  const BackupResult result =
      RunFull(env, executor, **repository, source, {.progress = [&calls](const base::Progress&) {
                ++calls;
                return true;
              }});
  ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  EXPECT_GT(calls, 100u);
  const VerifyResult verified =
      VerifyBackup(env, executor, **repository, "orders", result.document.id, {});
  EXPECT_TRUE(verified.status.ok()) << verified.status.ToString();
  EXPECT_TRUE(verified.recorded);
  const std::string output = directory.File("restored.db");
  const auto restored =
      Restore(env, executor, **repository, {.database = "orders", .output = output});
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_TRUE(env::ReadFile(env, output, 1 << 30).value() == source.images());
}

}  // namespace
}  // namespace understudy::backup
