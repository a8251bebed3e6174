// SPDX-License-Identifier: Apache-2.0
// Incremental and differential backups: what they store, what they are based on, that a chain is
// restored or refused, and that files can be applied by somebody who knows only their numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_chain.h"
#include "backup/backup_engine.h"
#include "backup/page_hashes.h"
#include "backup/restore.h"
#include "backup/stored_chain.h"
#include "backup/verify.h"
#include "store/directory_store.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kFileMax = 1 << 30;
constexpr uint32_t kPageSize = 512;

base::Position At(uint64_t seq, uint64_t term = 1) { return {base::Term(term), base::Seq(seq)}; }

class BackupTypes : public ::testing::Test {
 protected:
  BackupTypes() {
    EXPECT_TRUE(env_.MakeDirectories("/out").ok());
    repository_ = Repository::OpenOrCreate(env_, "/repo").value();
  }

  // The database at seq: `pages` pages, of which those in `changed` differ from the usual ones.
  SnapshotInMemory State(uint64_t seq, const std::vector<uint32_t>& changed, uint32_t pages = 40) {
    SnapshotInMemory state(kPageSize, pages, 5, At(seq));
    for (const uint32_t page : changed) state.Page(page)[100] ^= 0x5a;
    state.ComputeChecksum();
    return state;
  }
  BackupResult Take(BackupType type, SnapshotSource& source, bool or_full = false) {
    env_.clock().Advance(std::chrono::minutes(1));
    return RunBackup(env_, executor_, *repository_, source, {.type = type, .or_full = or_full});
  }
  BackupDocument Good(BackupType type, SnapshotSource& source) {
    const BackupResult result = Take(type, source);
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    return result.document;
  }
  base::Bytes Content(const std::string& path) {
    return env::ReadFile(env_, path, kFileMax).value();
  }
  base::Bytes Restored(const std::string& id) {
    const auto result =
        Restore(env_, executor_, *repository_,
                {.database = "orders", .backup = id, .output = "/out/db", .force = true});
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? Content("/out/db") : base::Bytes();
  }
  base::Status RestoreStatus(const std::string& id) {
    return Restore(env_, executor_, *repository_,
                   {.database = "orders", .backup = id, .output = "/out/db", .force = true})
        .status();
  }
  std::unique_ptr<LtxFile> Open(const BackupFile& file) {
    const std::string path = repository_->FilePath(file);
    return LtxFile::Open(store::ReaderOf(env_.Open(path, env::OpenMode::kRead).value()), path)
        .value();
  }
  std::vector<uint32_t> PagesOf(const BackupDocument& document) {
    std::vector<uint32_t> pages;
    const auto file = Open(document.files[0]);
    for (const LtxFrame& frame : file->frames()) pages.push_back(frame.page);
    return pages;
  }
  void Damage(const std::string& path, uint64_t at) {
    auto file = env_.Open(path, env::OpenMode::kReadWrite);
    ASSERT_TRUE((*file)->WriteAt(at, base::Bytes{1, 2, 3}).ok());
  }
  // As a tool does that knows the files only: this state, and then that file.
  base::Bytes Applied(const SnapshotInMemory& state, const BackupFile& file) {
    base::Bytes images = state.images();
    const auto ltx = Open(file);
    images.resize(size_t{ltx->header().commit} * kPageSize);
    std::vector<uint64_t> hashes;
    const auto write = [&](base::PageNo page, base::ByteView image) {
      std::copy(image.begin(), image.end(),
                images.begin() + static_cast<ptrdiff_t>(size_t{page.value - 1} * kPageSize));
      return base::Status();
    };
    EXPECT_TRUE(ScanIncrement(*ltx, {.phase = "", .progress = {}, .sink = write}, hashes).ok());
    return images;
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  std::unique_ptr<Repository> repository_;
};

TEST_F(BackupTypes, AnIncrementHasThePagesThatDiffer) {
  SnapshotInMemory first = State(10, {});
  const BackupDocument full = Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3, 4, 17});
  const BackupDocument one = Good(BackupType::kIncremental, second);
  EXPECT_EQ(one.base, full.id);
  EXPECT_EQ(one.files[0].path, "orders/ltx/7/000000000000000b-0000000000000014.ltx");
  EXPECT_THAT(PagesOf(one), ElementsAre(1, 3, 4, 17));  // 1 always: a file is never empty
  SnapshotInMemory third = State(30, {3, 4, 17, 30}, 43);
  const BackupDocument two = Good(BackupType::kIncremental, third);
  EXPECT_EQ(two.base, one.id);
  EXPECT_THAT(PagesOf(two), ElementsAre(1, 30, 41, 42, 43));
  EXPECT_EQ(env_.Stat(repository_->FilePath(two.files[0])).value().modified,
            third.at().commit_time);

  for (const auto& [id, state] :
       {std::pair(full.id, &first), {one.id, &second}, {two.id, &third}}) {
    EXPECT_EQ(Restored(id), state->images());
    EXPECT_TRUE(VerifyBackup(env_, executor_, *repository_, "orders", id, {}).status.ok());
  }
  EXPECT_EQ(Restored(""), third.images());
  EXPECT_EQ(ToJson(repository_->Find("orders", two.id).value()).find("\"version\": 2") !=
                std::string::npos,
            true);
}

TEST_F(BackupTypes, ADifferentialIsBasedOnTheFullOne) {
  SnapshotInMemory first = State(10, {});
  const BackupDocument full = Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3});
  Good(BackupType::kIncremental, second);
  SnapshotInMemory third = State(30, {5});  // page 3 is again what it was
  const BackupDocument differential = Good(BackupType::kDifferential, third);
  EXPECT_EQ(differential.base, full.id);
  EXPECT_EQ(differential.files[0].path, "orders/ltx/8/000000000000000b-000000000000001e.ltx");
  EXPECT_EQ(Restored(differential.id), third.images());
  // The next increment follows on it; the next differential does not.
  SnapshotInMemory fourth = State(40, {5, 6});
  const BackupDocument next = Good(BackupType::kIncremental, fourth);
  EXPECT_EQ(next.base, differential.id);
  EXPECT_THAT(PagesOf(next), ElementsAre(1, 6));
  EXPECT_EQ(Restored(next.id), fourth.images());
  SnapshotInMemory fifth = State(50, {7});
  EXPECT_EQ(Good(BackupType::kDifferential, fifth).base, full.id);
}

TEST_F(BackupTypes, AFileCanBeAppliedToEveryStateThatItSpans) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory copied = State(15, {8, 9});
  Good(BackupType::kCopy, copied);
  SnapshotInMemory second = State(20, {3, 9}, 30);
  Good(BackupType::kIncremental, second);
  SnapshotInMemory third = State(30, {5});
  const BackupDocument differential = Good(BackupType::kDifferential, third);
  for (const SnapshotInMemory* state : {&first, &copied, &second}) {
    EXPECT_EQ(Applied(*state, differential.files[0]), third.images());
  }
  EXPECT_EQ(Restored(differential.id), third.images());
}

TEST_F(BackupTypes, ALateCopyThatAFileCouldNotBeAppliedToIsRefused) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3});
  Good(BackupType::kIncremental, second);
  SnapshotInMemory behind = State(15, {8});
  const BackupResult refused = Take(BackupType::kCopy, behind);
  EXPECT_EQ(refused.status.code(), base::Code::kDiverged);
  EXPECT_THAT(refused.status.message(), HasSubstr("page 8 differs"));
  SnapshotInMemory fits = State(14, {3});
  EXPECT_EQ(Restored(Good(BackupType::kCopy, fits).id), fits.images());
}

TEST_F(BackupTypes, ACopyIsNeverABase) {
  SnapshotInMemory state = State(10, {});
  Good(BackupType::kCopy, state);
  const BackupResult none = Take(BackupType::kIncremental, state);
  EXPECT_EQ(none.status.code(), base::Code::kNotFound);
  EXPECT_THAT(none.status.message(), HasSubstr("there is no full backup"));
  EXPECT_THAT(none.status.message(), HasSubstr("--or-full"));
  EXPECT_EQ(none.state, WriterState::kFailedAtPrepareBackup);
  const BackupResult full = Take(BackupType::kDifferential, state, /*or_full=*/true);
  ASSERT_TRUE(full.status.ok()) << full.status.ToString();
  EXPECT_EQ(full.document.type, BackupType::kFull);
  EXPECT_THAT(full.instead_of_increment, HasSubstr("there is no full backup"));
  EXPECT_EQ(Take(BackupType::kLog, state).status.code(), base::Code::kInvalidArgument);
}

TEST_F(BackupTypes, NothingHasChanged) {
  SnapshotInMemory state = State(10, {2});
  const BackupDocument full = Good(BackupType::kFull, state);
  const BackupDocument same = Good(BackupType::kIncremental, state);
  EXPECT_TRUE(same.files.empty());
  EXPECT_EQ(same.bytes_stored, 0u);
  EXPECT_EQ(Restored(same.id), state.images());
  EXPECT_TRUE(VerifyBackup(env_, executor_, *repository_, "orders", same.id, {}).status.ok());
  SnapshotInMemory later = State(11, {2});  // a transaction that changed no page after all
  const BackupDocument next = Good(BackupType::kIncremental, later);
  EXPECT_THAT(PagesOf(next), ElementsAre(1));
  EXPECT_EQ(Restored(next.id), later.images());
}

TEST_F(BackupTypes, ADatabaseThatShrankIsRestoredShort) {
  SnapshotInMemory first = State(10, {}, 40);
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3}, 12);
  EXPECT_EQ(Restored(Good(BackupType::kIncremental, second).id), second.images());
  SnapshotInMemory third = State(30, {3}, 40);
  EXPECT_EQ(Restored(Good(BackupType::kIncremental, third).id), third.images());
  SnapshotInMemory fourth = State(40, {3}, 40);
  EXPECT_EQ(Restored(Good(BackupType::kDifferential, fourth).id), fourth.images());
}

TEST_F(BackupTypes, ABaseThatIsNewerGoneOrDamagedIsRefused) {
  SnapshotInMemory first = State(10, {});
  const BackupDocument full = Good(BackupType::kFull, first);
  SnapshotInMemory behind = State(9, {});
  const BackupResult refused = Take(BackupType::kIncremental, behind);
  EXPECT_EQ(refused.status.code(), base::Code::kUnavailable);
  EXPECT_THAT(refused.status.message(), HasSubstr("the copy on s2 only at"));

  SnapshotInMemory second = State(20, {3});
  const BackupDocument one = Good(BackupType::kIncremental, second);
  SnapshotInMemory third = State(30, {4});
  Damage(repository_->FilePath(full.files[0]), 50);
  EXPECT_FALSE(VerifyBackup(env_, executor_, *repository_, "orders", full.id, {}).status.ok());
  EXPECT_THAT(Take(BackupType::kIncremental, third).status.message(),
              HasSubstr("backup " + full.id + ", which was found damaged"));
  EXPECT_EQ(RestoreStatus("").code(), base::Code::kNotFound);  // no whole chain is left

  ASSERT_TRUE(env_.Remove(repository_->DocumentPath("orders", full.id)).ok());
  EXPECT_THAT(Take(BackupType::kIncremental, third).status.message(),
              HasSubstr("its base " + full.id + " is not in the repository"));
  EXPECT_THAT(RestoreStatus(one.id).message(), HasSubstr("is not in the repository"));
  EXPECT_FALSE(env::Exists(env_, "/out/db"));
  const BackupResult anew = Take(BackupType::kIncremental, third, /*or_full=*/true);
  ASSERT_TRUE(anew.status.ok()) << anew.status.ToString();
  EXPECT_EQ(anew.document.type, BackupType::kFull);
  EXPECT_EQ(Restored(""), third.images());
}

TEST_F(BackupTypes, AMissingDataFileIsNoticedBeforeAnythingIsDone) {
  SnapshotInMemory first = State(10, {});
  const BackupDocument full = Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3});
  const BackupDocument one = Good(BackupType::kIncremental, second);
  ASSERT_TRUE(env_.Remove(repository_->FilePath(full.files[0])).ok());
  EXPECT_EQ(RestoreStatus(one.id).code(), base::Code::kCorruption);
  EXPECT_TRUE(env_.List("/out").value().empty());
  SnapshotInMemory third = State(30, {4});
  const BackupResult refused = Take(BackupType::kIncremental, third);
  EXPECT_EQ(refused.status.code(), base::Code::kCorruption);
  EXPECT_THAT(refused.status.message(), HasSubstr("is gone"));
}

TEST_F(BackupTypes, PageHashesAreAHelpOnly) {
  SnapshotInMemory first = State(10, {});
  const BackupDocument full = Good(BackupType::kFull, first);
  const std::string path = repository_->PageHashesPath("orders", 10);
  const base::Bytes good = Content(path);
  for (size_t at = 0; at < good.size(); ++at) {
    base::Bytes bad = good;
    bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << (at % 8)));
    auto file = env_.Open(path, env::OpenMode::kCreateTruncate);
    ASSERT_TRUE((*file)->WriteAt(0, bad).ok());
    ASSERT_EQ(ReadPageHashes(*repository_, full).status().code(), base::Code::kCorruption);
  }
  SnapshotInMemory second = State(20, {3});
  EXPECT_THAT(PagesOf(Good(BackupType::kIncremental, second)), ElementsAre(1, 3));
  ASSERT_TRUE(env_.Remove(path).ok());
  ASSERT_TRUE(env_.Remove(repository_->PageHashesPath("orders", 20)).ok());
  SnapshotInMemory third = State(30, {3, 4});
  const BackupDocument next = Good(BackupType::kIncremental, third);
  EXPECT_THAT(PagesOf(next), ElementsAre(1, 4));
  EXPECT_EQ(Restored(next.id), third.images());
}

TEST_F(BackupTypes, EveryFlippedBitOfAChainIsNoticed) {
  SnapshotInMemory first = State(10, {}, 6);
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3}, 6);
  const BackupDocument one = Good(BackupType::kIncremental, second);
  const std::string path = repository_->FilePath(one.files[0]);
  const base::Bytes good = Content(path);
  for (size_t at = 0; at < good.size(); ++at) {
    base::Bytes bad = good;
    bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << (at % 8)));
    auto file = env_.Open(path, env::OpenMode::kCreateTruncate);
    ASSERT_TRUE((*file)->WriteAt(0, bad).ok());
    ASSERT_FALSE(VerifyBackup(env_, executor_, *repository_, "orders", one.id, {.record = false})
                     .status.ok())
        << at;
    ASSERT_FALSE(RestoreStatus(one.id).ok()) << at;
    ASSERT_TRUE(env_.List("/out").value().empty()) << at;
  }
}

TEST_F(BackupTypes, PagesThatDoNotHaveTheChecksumAreNoIncrement) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3});
  second.Page(7)[1] ^= 1;
  EXPECT_EQ(Take(BackupType::kIncremental, second).status.code(), base::Code::kCorruption);
  EXPECT_EQ(repository_->List("orders").value().backups.size(), 1u);
}

TEST_F(BackupTypes, WhereTheLogHasTheHashesOnlyChangedPagesAreRead) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3, 4, 17});
  second.OfferHashes();
  const BackupDocument one = Good(BackupType::kIncremental, second);
  EXPECT_THAT(PagesOf(one), ElementsAre(1, 3, 4, 17));
  EXPECT_LE(second.pages_read(), 8u);  // once to foretell the size, once to store them
  EXPECT_EQ(Restored(one.id), second.images());
  EXPECT_TRUE(VerifyBackup(env_, executor_, *repository_, "orders", one.id, {}).status.ok());
}

TEST_F(BackupTypes, AChangedPageThatIsNotTheOneOnRecordIsNotBackedUp) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3, 4, 17});
  second.OfferHashes();
  second.Page(17)[1] ^= 1;  // since then, on disk
  const BackupResult result = Take(BackupType::kIncremental, second);
  EXPECT_EQ(result.status.code(), base::Code::kCorruption);
  EXPECT_THAT(result.status.message(), testing::HasSubstr("page 17 of orders on s2"));
  EXPECT_EQ(repository_->List("orders").value().backups.size(), 1u);
}

TEST_F(BackupTypes, HashesThatDoNotGiveTheChecksumAreNotUsed) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3, 4, 17});
  second.Page(5)[9] ^= 1;
  second.OfferHashes();
  second.Page(5)[9] ^= 1;
  const BackupDocument one = Good(BackupType::kIncremental, second);
  EXPECT_GE(second.pages_read(), second.pages());
  EXPECT_EQ(Restored(one.id), second.images());
}

TEST_F(BackupTypes, AnotherDifferentialAtThePositionSharesTheFile) {
  SnapshotInMemory first = State(10, {});
  Good(BackupType::kFull, first);
  SnapshotInMemory second = State(20, {3});
  const BackupDocument one = Good(BackupType::kDifferential, second);
  const BackupDocument two = Good(BackupType::kDifferential, second);
  EXPECT_TRUE(two.files[0].reused);
  EXPECT_EQ(two.files[0].xxh3_128, one.files[0].xxh3_128);
  Damage(repository_->FilePath(one.files[0]), 120);
  EXPECT_FALSE(Good(BackupType::kDifferential, second).files[0].reused);
  EXPECT_EQ(Restored(""), second.images());
}

TEST_F(BackupTypes, AfterAFailureOrPowerCutAtEveryStepTheNextOneWorks) {
  SnapshotInMemory first = State(10, {});
  SnapshotInMemory second = State(20, {3, 9});
  const uint64_t runs = test::FailEachOperation(
      {.ops = test::kChangingOps, .halt_after = true}, 500, [&](const test::FaultPlan& plan) {
        test::MemEnv disk;
        EXPECT_TRUE(disk.MakeDirectories("/r").ok());
        EXPECT_TRUE(disk.SyncDirectory("/").ok());
        auto stable = Repository::OpenOrCreate(disk, "/r/repo");
        EXPECT_TRUE(RunBackup(disk, executor_, **stable, first, {}).status.ok());
        test::FaultEnv faulty(disk);
        auto repository = Repository::Open(faulty, "/r/repo");
        faulty.Arm(plan);
        const BackupOptions options{.type = BackupType::kIncremental};
        const bool reported =
            RunBackup(faulty, executor_, **repository, second, options).status.ok();
        disk.PowerCutDropAll();
        const BackupList list = (*stable)->List("orders").value();
        EXPECT_TRUE(list.unreadable.empty());
        EXPECT_GE(list.backups.size(), reported ? 2u : 1u);
        const BackupResult next = RunBackup(disk, executor_, **stable, second, options);
        EXPECT_TRUE(next.status.ok()) << plan.nth << ": " << next.status.ToString();
        const auto restored =
            Restore(disk, executor_, **stable, {.database = "orders", .output = "/r/db"});
        EXPECT_TRUE(restored.ok()) << plan.nth << ": " << restored.status().ToString();
        EXPECT_EQ(env::ReadFile(disk, "/r/db", kFileMax).value(), second.images());
        EXPECT_EQ(disk.List("/r/repo/orders/ltx/7").value().size(), 1u);
        EXPECT_TRUE(disk.List("/r/repo/orders/partial").value().empty());
        return faulty.fired();
      });
  EXPECT_GT(runs, 10u);
}

}  // namespace
}  // namespace understudy::backup
