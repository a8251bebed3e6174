// SPDX-License-Identifier: Apache-2.0
// What is stored is not trusted: every changed byte of a backup's files is noticed, by verify and
// by restore, and restore never leaves half a database or one beside a stale journal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_engine.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::HasSubstr;

constexpr uint64_t kFileMax = 1 << 30;

// A repository with one small backup of `source_`.
class StoredBackup : public ::testing::Test {
 protected:
  StoredBackup() {
    EXPECT_TRUE(env_.MakeDirectories("/out").ok());
    repository_ = Repository::OpenOrCreate(env_, "/repo").value();
    const BackupResult result = RunFull(env_, executor_, *repository_, source_, {});
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    document_ = result.document;
    data_path_ = repository_->FilePath(document_.files[0]);
    document_path_ = repository_->DocumentPath("orders", document_.id);
  }

  VerifyResult Verify(bool record = false) {
    return VerifyBackup(env_, executor_, *repository_, "orders", document_.id, {.record = record});
  }
  base::Result<RestoreResult> RestoreTo(const std::string& output, bool force = false) {
    return Restore(env_, executor_, *repository_,
                   {.database = "orders", .output = output, .force = force});
  }
  base::Bytes Content(const std::string& path) {
    return env::ReadFile(env_, path, kFileMax).value();
  }
  void Put(const std::string& path, base::ByteView content) {
    auto file = env_.Open(path, env::OpenMode::kCreateTruncate);
    ASSERT_TRUE((*file)->WriteAt(0, content).ok());
  }
  std::vector<std::string> Outputs() { return env_.List("/out").value(); }

  test::MemEnv env_;
  InlineExecutor executor_;
  SnapshotInMemory source_{512, 9, 5, {base::Term(1), base::Seq(77)}};
  std::unique_ptr<Repository> repository_;
  BackupDocument document_;
  std::string data_path_;
  std::string document_path_;
};

TEST_F(StoredBackup, VerifyRecordsThatItIsGood) {
  env_.clock().Advance(std::chrono::hours(1));
  const VerifyResult result = Verify(/*record=*/true);
  ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  EXPECT_TRUE(result.recorded);
  const BackupDocument now = repository_->Find("orders", document_.id).value();
  EXPECT_GT(now.verification.at, document_.verification.at);
  EXPECT_EQ(now.verification.state, VerificationState::kGood);
}

TEST_F(StoredBackup, VerifyRecordsDamageAndRestoreThenPrefersAnother) {
  base::Bytes data = Content(data_path_);
  data[200] ^= 1;
  Put(data_path_, data);
  const VerifyResult result = Verify(/*record=*/true);
  EXPECT_EQ(result.status.code(), base::Code::kCorruption);
  EXPECT_TRUE(result.recorded);
  const BackupDocument now = repository_->Find("orders", document_.id).value();
  EXPECT_EQ(now.verification.state, VerificationState::kFailed);
  EXPECT_THAT(now.verification.message, HasSubstr(data_path_));
  EXPECT_EQ(RestoreTo("/out/db").status().code(), base::Code::kNotFound);

  SnapshotInMemory older(512, 4, 6, {base::Term(1), base::Seq(70)});
  ASSERT_TRUE(RunFull(env_, executor_, *repository_, older, {}).status.ok());
  const auto restored = RestoreTo("/out/db");
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(Content("/out/db"), older.images());
}

TEST_F(StoredBackup, VerifyDoesNotWaitForARunningBackup) {
  const auto lock = repository_->LockDatabase("orders");
  const VerifyResult result = Verify(/*record=*/true);
  EXPECT_TRUE(result.status.ok());
  EXPECT_FALSE(result.recorded);
}

TEST_F(StoredBackup, EveryFlippedBitOfTheDataIsNoticed) {
  const base::Bytes good = Content(data_path_);
  for (size_t at = 0; at < good.size(); ++at) {
    base::Bytes bad = good;
    bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << (at % 8)));
    Put(data_path_, bad);
    const VerifyResult result = Verify();
    ASSERT_TRUE(result.status.code() == base::Code::kCorruption ||
                result.status.code() == base::Code::kInvalidArgument)
        << at << ": " << result.status.ToString();
    const auto restored = RestoreTo("/out/db");
    ASSERT_FALSE(restored.ok()) << at;
    ASSERT_TRUE(Outputs().empty()) << at;
  }
}

TEST_F(StoredBackup, EveryTruncationOfTheDataIsNoticed) {
  const base::Bytes good = Content(data_path_);
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    Put(data_path_, base::ByteView(good).first(bytes));
    ASSERT_EQ(Verify().status.code(), base::Code::kCorruption) << bytes;
  }
}

TEST_F(StoredBackup, EveryFlippedBitOfTheDocumentIsNoticedOrMeansNothing) {
  const base::Bytes good = Content(document_path_);
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      base::Bytes bad = good;
      bad[at] = static_cast<uint8_t>(bad[at] ^ (1 << bit));
      const auto document =
          DocumentFromJson({reinterpret_cast<const char*>(bad.data()), bad.size()});
      if (document.ok()) {
        ASSERT_EQ(ToJson(document.value()), ToJson(document_)) << at;
      }
    }
  }
}

TEST_F(StoredBackup, UnreadableDocumentIsShownAndNotListed) {
  Put(document_path_, base::AsBytes("{}"));
  const BackupList list = repository_->List("orders").value();
  EXPECT_TRUE(list.backups.empty());
  ASSERT_EQ(list.unreadable.size(), 1u);
  EXPECT_EQ(list.unreadable[0].path, document_path_);
  EXPECT_EQ(repository_->Find("orders", document_.id).status().code(), base::Code::kCorruption);
  // Nor is its data taken for a leftover.
  SnapshotInMemory next(512, 4, 6, {base::Term(1), base::Seq(90)});
  ASSERT_TRUE(RunFull(env_, executor_, *repository_, next, {}).status.ok());
  EXPECT_TRUE(env::Exists(env_, data_path_));
}

TEST_F(StoredBackup, RestoreRefusesWhatExists) {
  Put("/out/db", base::AsBytes("mine"));
  const auto refused = RestoreTo("/out/db");
  EXPECT_EQ(refused.status().code(), base::Code::kAlreadyExists);
  EXPECT_THAT(refused.status().message(), HasSubstr("restore of orders to /out/db"));
  EXPECT_EQ(Content("/out/db").size(), 4u);
  ASSERT_TRUE(RestoreTo("/out/db", /*force=*/true).ok());
  EXPECT_EQ(Content("/out/db"), source_.images());
}

TEST_F(StoredBackup, RestoreRefusesToLandBesideAStaleJournal) {
  for (const std::string suffix : {"-wal", "-shm", "-journal"}) {
    Put("/out/db" + suffix, base::AsBytes("stale"));
    const auto refused = RestoreTo("/out/db");
    EXPECT_EQ(refused.status().code(), base::Code::kAlreadyExists);
    EXPECT_THAT(refused.status().message(), HasSubstr("/out/db" + suffix));
    EXPECT_EQ(Outputs().size(), 1u);
    ASSERT_TRUE(RestoreTo("/out/db", /*force=*/true).ok());
    EXPECT_THAT(Outputs(), ::testing::ElementsAre("db"));
    ASSERT_TRUE(env_.Remove("/out/db").ok());
  }
}

TEST_F(StoredBackup, RestoreStartsAnewAfterACrashedOne) {
  Put("/out/db.restoring", base::Bytes(100000, 0x77));
  ASSERT_TRUE(RestoreTo("/out/db").ok());
  EXPECT_THAT(Outputs(), ::testing::ElementsAre("db"));
  EXPECT_EQ(Content("/out/db"), source_.images());
}

TEST_F(StoredBackup, TwoRestoresToOneOutputDoNotMix) {
  const auto other = env_.Lock("/out/db.restoring");
  EXPECT_EQ(RestoreTo("/out/db").status().code(), base::Code::kBusy);
  EXPECT_TRUE(env::Exists(env_, "/out/db.restoring"));
}

TEST_F(StoredBackup, RestoreSaysWhatIsMissing) {
  EXPECT_THAT(RestoreTo("/nowhere/db").status().message(), HasSubstr("no directory /nowhere"));
  EXPECT_THAT(Restore(env_, executor_, *repository_, {.database = "mail", .output = "/out/db"})
                  .status()
                  .message(),
              HasSubstr("no database called mail"));
  EXPECT_EQ(Restore(env_, executor_, *repository_, {.database = "../x", .output = "/out/db"})
                .status()
                .code(),
            base::Code::kInvalidArgument);
  env_.SetSpaceLimit(6000);
  EXPECT_EQ(RestoreTo("/out/db").status().code(), base::Code::kNoSpace);
  EXPECT_TRUE(Outputs().empty());
}

TEST_F(StoredBackup, CancelledRestoreLeavesNothing) {
  const auto cancelled =
      Restore(env_, executor_, *repository_,
              {.database = "orders", .output = "/out/db", .progress = [](const base::Progress&) {
                 return false;
               }});
  EXPECT_EQ(cancelled.status().code(), base::Code::kCancelled);
  EXPECT_TRUE(Outputs().empty());
}

TEST_F(StoredBackup, EveryFailingOperationOfARestoreLeavesAllOrNothing) {
  for (const bool force : {false, true}) {
    const uint64_t runs = test::FailEachOperation({}, 500, [&](const test::FaultPlan& plan) {
      Put("/out/db-wal", base::AsBytes("stale"));
      if (!force) {
        EXPECT_TRUE(env_.Remove("/out/db-wal").ok());
      }
      test::FaultEnv faulty(env_);
      auto repository = Repository::Open(faulty, "/repo");
      faulty.Arm(plan);
      const auto result = Restore(faulty, executor_, **repository,
                                  {.database = "orders", .output = "/out/db", .force = force});
      if (env::Exists(env_, "/out/db")) {
        EXPECT_EQ(Content("/out/db"), source_.images());
        EXPECT_FALSE(env::Exists(env_, "/out/db-wal"));
        EXPECT_TRUE(env_.Remove("/out/db").ok());
      } else {
        EXPECT_FALSE(result.ok());
      }
      EXPECT_TRUE(RestoreTo("/out/db", /*force=*/true).ok());  // whatever was left behind
      EXPECT_TRUE(env_.Remove("/out/db").ok());
      EXPECT_TRUE(Outputs().empty());
      return faulty.fired();
    });
    EXPECT_GT(runs, 15u);
  }
}

TEST_F(StoredBackup, RestoreIsDurableWhenReported) {
  ASSERT_TRUE(env_.SyncDirectory("/").ok());
  ASSERT_TRUE(RestoreTo("/out/db").ok());
  env_.PowerCutDropAll();
  EXPECT_EQ(Content("/out/db"), source_.images());
}

class RepositoryDirectory : public ::testing::Test {
 protected:
  base::Status Create(const std::string& path) {
    return Repository::OpenOrCreate(env_, path).status();
  }
  void Put(const std::string& path, std::string_view content) {
    auto file = env_.Open(path, env::OpenMode::kCreateTruncate);
    ASSERT_TRUE((*file)->WriteAt(0, base::AsBytes(content)).ok());
  }
  test::MemEnv env_;
};

TEST_F(RepositoryDirectory, SomebodyElsesDirectoryIsRefused) {
  ASSERT_TRUE(env_.MakeDirectories("/home").ok());
  Put("/home/letter.txt", "Dear");
  const base::Status status = Create("/home");
  EXPECT_EQ(status.code(), base::Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("/home is not a backup repository and not empty"));
  EXPECT_EQ(env_.List("/home").value().size(), 1u);
  EXPECT_EQ(Repository::Open(env_, "/home").status().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(Repository::Open(env_, "/absent").status().code(), base::Code::kNotFound);
  EXPECT_EQ(Create("/home/letter.txt").code(), base::Code::kInvalidArgument);
}

TEST_F(RepositoryDirectory, UnknownVersionIsRefused) {
  ASSERT_TRUE(Create("/repo").ok());
  Put("/repo/understudy-repository.json", R"({"format":"understudy-repository","version":2})");
  const base::Status status = Create("/repo");
  EXPECT_EQ(status.code(), base::Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("version 2"));
  Put("/repo/understudy-repository.json", "{");
  EXPECT_EQ(Create("/repo").code(), base::Code::kCorruption);
}

TEST_F(RepositoryDirectory, NotWritableIsOneSentence) {
  test::FaultEnv faulty(env_);
  faulty.Arm({.ops = test::Op::kWrite, .status = base::IoError("cannot write x: Read-only")});
  const base::Status status = Repository::OpenOrCreate(faulty, "/repo").status();
  EXPECT_EQ(status.code(), base::Code::kIoError);
  EXPECT_THAT(status.message(), HasSubstr("the repository /repo cannot be written"));
}

TEST(BackupId, SaysWhenAndWhat) {
  const base::WallTime time = base::FromRfc3339("2026-11-22T18:45:00.125Z").value();
  EXPECT_EQ(MakeBackupId(time, BackupType::kFull, 0x113f09ac), "20261122T184500Z-full-3f09ac");
  EXPECT_TRUE(IsBackupId("20261122T184500Z-full-3f09ac"));
  EXPECT_TRUE(IsBackupId("20261122T184500Z-incremental-3f09ac"));
  for (const char* bad : {"", "x", "20261122T184500Z-full-3f09aC", "20261122T184500Z-weird-3f09ac",
                          "20261122T184500Z-full-3f09ac/..", "../../20261122T184500Z-full-3f09ac",
                          "20261122T18450xZ-full-3f09ac", "20261122T184500Z--3f09ac"}) {
    EXPECT_FALSE(IsBackupId(bad)) << bad;
  }
}

TEST(WriterState, HasTheNumbersAndNamesOfVss) {
  EXPECT_EQ(WriterStateName(WriterState::kWaitingForBackupComplete), "WAITING_FOR_BACKUP_COMPLETE");
  EXPECT_EQ(static_cast<int>(WriterState::kFailedAtBackupShutdown), 15);
  EXPECT_EQ(WriterCodeHex(WriterCode::kRetryable), "0x800423f3");
  EXPECT_EQ(WriterCodeName(WriterCode::kRetryable), "VSS_E_WRITERERROR_RETRYABLE");
  EXPECT_FALSE(WriterCodeFromNumber(0x800423f6));
  EXPECT_FALSE(WriterStateFromNumber(16));
}

}  // namespace
}  // namespace understudy::backup
