// SPDX-License-Identifier: Apache-2.0
// What goes and what stays, and that a kill in the middle leaves no chain with a hole.
#include "backup/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_chain.h"
#include "backup/backup_engine.h"
#include "backup/restore.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kPages = 8;

class PruneTest : public ::testing::Test {
 protected:
  PruneTest() { Use(env_); }

  void Use(test::MemEnv& env) {
    EXPECT_TRUE(env.MakeDirectories("/r").ok());
    repository_ = Repository::OpenOrCreate(env, "/r/repo").value();
    seq_ = 0;
  }
  // One each day.
  std::string Take(test::MemEnv& env, BackupType type) {
    seq_ += 10;
    SnapshotInMemory source(512, kPages, seq_, {base::Term(1), base::Seq(seq_)});
    const BackupResult result = RunBackup(env, executor_, *repository_, source, {.type = type});
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    env.clock().Advance(std::chrono::hours(24));
    return result.document.id;
  }
  std::string Full() { return Take(env_, BackupType::kFull); }
  std::string Increment() { return Take(env_, BackupType::kIncremental); }

  std::set<std::string> Listed() {
    std::set<std::string> ids;
    const BackupList list = repository_->List("orders").value();
    for (const BackupDocument& document : list.backups) {
      ids.insert(document.id);
    }
    return ids;
  }
  std::vector<PruneDecision> Pruned(const PruneRules& rules, bool dry_run = false) {
    auto plan = Prune(*repository_, "orders", {.rules = rules, .dry_run = dry_run});
    EXPECT_TRUE(plan.ok()) << plan.status().ToString();
    return std::move(*plan);
  }
  static std::string WhyOf(const std::vector<PruneDecision>& plan, const std::string& id) {
    for (const PruneDecision& decision : plan) {
      if (decision.document.id == id) return (decision.keep ? "+" : "-") + decision.why;
    }
    return "";
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  std::unique_ptr<Repository> repository_;
  uint64_t seq_ = 0;
};

TEST_F(PruneTest, KeepsSoManyFullBackupsWithWhatIsBasedOnThem) {
  const std::string a = Full();
  const std::string a1 = Increment();
  const std::string b = Full();
  const std::string b1 = Increment();
  const std::string c = Full();
  const auto planned = Pruned({.keep_full = 2}, /*dry_run=*/true);
  EXPECT_EQ(Listed().size(), 5u);
  EXPECT_THAT(WhyOf(planned, a), HasSubstr("-2 newer full backups are kept"));
  EXPECT_THAT(WhyOf(planned, a1), HasSubstr("-"));
  EXPECT_THAT(WhyOf(planned, b1), HasSubstr("+based on " + b));
  Pruned({.keep_full = 2});
  EXPECT_EQ(Listed(), (std::set<std::string>{b, b1, c}));
  EXPECT_EQ(env_.List("/r/repo/orders/ltx/9")->size(), 2u);
  EXPECT_EQ(env_.List("/r/repo/orders/ltx/7")->size(), 1u);
  EXPECT_EQ(env_.List("/r/repo/orders/pages")->size(), 3u);
}

TEST_F(PruneTest, AgeCountsFromTheNewestBackupAndABaseIsNeeded) {
  const std::string a = Full();
  const std::string b = Full();
  const std::string b1 = Increment();
  const std::string b2 = Increment();
  env_.clock().Advance(std::chrono::hours(24 * 365));  // nothing was backed up for a year
  const auto plan = Pruned({.keep_days = 1});
  EXPECT_EQ(Listed(), (std::set<std::string>{b, b1, b2}));
  EXPECT_THAT(WhyOf(plan, a), HasSubstr("-completed 3 days before the newest backup"));
  EXPECT_EQ(WhyOf(plan, b), "+the last good full backup");
  EXPECT_EQ(WhyOf(plan, b1), "+backup " + b2 + " is based on it");
  EXPECT_EQ(WhyOf(plan, b2), "+the newest good backup");
}

TEST_F(PruneTest, AMarkKeepsABackupAndItsBases) {
  const std::string a = Full();
  const std::string a1 = Increment();
  const std::string b = Full();
  EXPECT_EQ(repository_->SetKeep("orders", "20261122T184500Z-full-3f09ac", true).code(),
            base::Code::kNotFound);
  ASSERT_TRUE(repository_->SetKeep("orders", a1, true).ok());
  const auto plan = Pruned({.keep_full = 1});
  EXPECT_EQ(WhyOf(plan, a1), "+marked to be kept");
  EXPECT_EQ(Listed(), (std::set<std::string>{a, a1, b}));
  ASSERT_TRUE(repository_->SetKeep("orders", a1, false).ok());
  Pruned({.keep_full = 1});
  EXPECT_EQ(Listed(), (std::set<std::string>{b}));
}

TEST_F(PruneTest, ADamagedFullBackupDoesNotCountAndIsNotTheLastOne) {
  const std::string a = Full();
  const std::string b = Full();
  BackupDocument damaged = repository_->Find("orders", b).value();
  damaged.verification.state = VerificationState::kFailed;
  ASSERT_TRUE(repository_->Rewrite(damaged).ok());
  const auto plan = Pruned({.keep_full = 1});
  EXPECT_THAT(WhyOf(plan, b), HasSubstr("not known to be good"));
  EXPECT_EQ(Listed(), (std::set<std::string>{a}));
}

TEST_F(PruneTest, RefusesWithoutARuleOrWhileADocumentCannotBeReadOrSomebodyWrites) {
  const std::string a = Full();
  Full();
  EXPECT_EQ(Prune(*repository_, "orders", {}).status().code(), base::Code::kInvalidArgument);
  {
    const auto lock = repository_->LockDatabase("orders");
    const PruneOptions options{.rules = {.keep_full = 1}};
    EXPECT_EQ(Prune(*repository_, "orders", options).status().code(), base::Code::kBusy);
  }
  ASSERT_TRUE(
      env::WriteFileAtomically(env_, repository_->DocumentPath("orders", a), base::AsBytes("x"))
          .ok());
  const PruneOptions options{.rules = {.keep_full = 1}};
  EXPECT_EQ(Prune(*repository_, "orders", options).status().code(), base::Code::kCorruption);
}

TEST_F(PruneTest, APowerCutAtAnyMomentLeavesWholeChainsAndTheNextBackupClearsUp) {
  const uint64_t runs = test::FailEachOperation(
      {.ops = test::kChangingOps, .halt_after = true}, 500, [&](const test::FaultPlan& plan) {
        test::MemEnv disk({.seed = plan.nth});
        Use(disk);
        for (const BackupType type : {BackupType::kFull, BackupType::kIncremental,
                                      BackupType::kFull, BackupType::kIncremental}) {
          Take(disk, type);
        }
        test::FaultEnv faulty(disk);
        const auto killed = Repository::Open(faulty, "/r/repo");
        faulty.Arm(plan);
        const bool done = Prune(**killed, "orders", {.rules = {.keep_full = 1}}).status().ok();
        disk.PowerCut(plan.nth);
        const BackupList list = repository_->List("orders").value();
        EXPECT_THAT(list.unreadable, IsEmpty());
        EXPECT_GE(list.backups.size(), 2u);
        if (done) {
          EXPECT_EQ(list.backups.size(), 2u);
        }
        for (const BackupDocument& document : list.backups) {
          const auto restored = Restore(
              disk, executor_, *repository_,
              {.database = "orders", .backup = document.id, .output = "/r/db", .force = true});
          EXPECT_TRUE(restored.ok()) << plan.nth << ": " << restored.status().ToString();
        }
        EXPECT_TRUE(Prune(*repository_, "orders", {.rules = {.keep_full = 1}}).ok());
        EXPECT_EQ(disk.List("/r/repo/orders/ltx/9")->size(), 1u);
        EXPECT_EQ(disk.List("/r/repo/orders/ltx/7")->size(), 1u);
        return faulty.fired();
      });
  EXPECT_GT(runs, 10u);
}

}  // namespace
}  // namespace understudy::backup
