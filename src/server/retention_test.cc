// SPDX-License-Identifier: Apache-2.0
#include "server/retention.h"

#include <gtest/gtest.h>

namespace understudy::server {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Of 10 records each: 1 to 10, 11 to 20, …
std::vector<log::GenerationInfo> Generations(const std::vector<uint64_t>& bytes) {
  std::vector<log::GenerationInfo> generations;
  for (size_t i = 0; i < bytes.size(); ++i) {
    log::GenerationInfo info;
    info.number = base::Generation(i + 1);
    info.seq_first = base::Seq(i * 10 + 1);
    info.bytes = bytes[i];
    generations.push_back(info);
  }
  return generations;
}

// Ten generations of 4 MiB, records 1 to 100; nothing is wanted but by holds.
RetentionFacts Facts() {
  RetentionFacts facts;
  facts.generations = Generations(std::vector<uint64_t>(10, 4 * kMiB));
  facts.first = base::Seq(1);
  facts.straggler_bytes_max = 1000 * kMiB;
  facts.disk_free = 1000 * kMiB;
  return facts;
}

void Hold(RetentionFacts& facts, const std::string& name, uint64_t seq, bool straggler = false) {
  facts.holds.push_back({name, "", base::Seq(seq)});
  if (straggler) facts.stragglers.insert(name);
}

std::vector<std::string> LetGo(const RetentionPlan& plan) {
  std::vector<std::string> names;
  for (const auto& one : plan.let_go) names.push_back(one.hold);
  return names;
}
using Names = std::vector<std::string>;

TEST(Retention, NothingGoesWhileTheLogIsSmall) {
  EXPECT_EQ(TruncatableUpTo(Generations({}), 100), base::Seq(0));
  EXPECT_EQ(TruncatableUpTo(Generations({30, 30, 30}), 100), base::Seq(0));
}

TEST(Retention, TheNewestGenerationsWithTheKeptBytesStay) {
  EXPECT_EQ(TruncatableUpTo(Generations({50, 50, 50, 50}), 100), base::Seq(20));
  EXPECT_EQ(TruncatableUpTo(Generations({50, 50, 50, 50}), 101), base::Seq(10));
}

TEST(Retention, TheNewestGenerationAlwaysStays) {
  EXPECT_EQ(TruncatableUpTo(Generations({50, 500}), 100), base::Seq(10));
}

TEST(Retention, WholeGenerationsAreRemovable) {
  EXPECT_EQ(RemovableBytes(Generations({}), base::Seq(9)), 0u);
  EXPECT_EQ(RemovableBytes(Generations({1, 2, 4}), base::Seq(9)), 0u);
  EXPECT_EQ(RemovableBytes(Generations({1, 2, 4}), base::Seq(10)), 1u);
  EXPECT_EQ(RemovableBytes(Generations({1, 2, 4}), base::Seq(99)), 3u);
}

TEST(Retention, ABackupLetsGoWhatSizeWouldKeep) {
  RetentionFacts facts = Facts();
  facts.keep_bytes = 1000 * kMiB;
  EXPECT_EQ(PlanRetention(facts).retention, base::Seq(0));
  facts.backed_up = base::Seq(57);
  EXPECT_EQ(PlanRetention(facts).retention, base::Seq(57));
  EXPECT_FALSE(PlanRetention(facts).backup_base);
}

TEST(Retention, SizeLetsGoWhatNoBackupHas) {
  RetentionFacts facts = Facts();
  facts.keep_bytes = 8 * kMiB;
  facts.backed_up = base::Seq(5);
  EXPECT_EQ(PlanRetention(facts).retention, base::Seq(80));
}

TEST(Retention, WithoutCircularLoggingOnlyABackupLetsGo) {
  RetentionFacts facts = Facts();
  facts.keep_bytes = 1;
  facts.circular = false;
  EXPECT_EQ(PlanRetention(facts).backup_base, base::Seq(0));
  facts.backed_up = base::Seq(33);
  EXPECT_EQ(PlanRetention(facts).backup_base, base::Seq(33));
}

TEST(Retention, AStragglerWithinTheBoundIsKept) {
  RetentionFacts facts = Facts();
  facts.straggler_bytes_max = 40 * kMiB;
  Hold(facts, "passive s3", 0, /*straggler=*/true);
  EXPECT_EQ(LetGo(PlanRetention(facts)), Names{});
  facts.straggler_bytes_max = 40 * kMiB - 1;
  const RetentionPlan plan = PlanRetention(facts);
  ASSERT_EQ(LetGo(plan), Names{"passive s3"});
  EXPECT_EQ(plan.let_go[0].bytes, 40 * kMiB);
  EXPECT_FALSE(plan.let_go[0].for_disk);
}

TEST(Retention, OnlyThoseBeyondTheBoundAreLetGo) {
  RetentionFacts facts = Facts();
  facts.straggler_bytes_max = 20 * kMiB;
  Hold(facts, "passive s2", 95, true);
  Hold(facts, "passive s3", 15, true);
  Hold(facts, "passive s4", 25, true);
  EXPECT_EQ(LetGo(PlanRetention(facts)), (Names{"passive s3", "passive s4"}));
}

TEST(Retention, AStragglerIsKeptWhereLettingItGoFreesNothing) {
  RetentionFacts facts = Facts();
  facts.straggler_bytes_max = kMiB;
  Hold(facts, "passive s3", 15, true);
  Hold(facts, "replay", 12);
  EXPECT_EQ(LetGo(PlanRetention(facts)), Names{});
  facts.holds.pop_back();
  facts.circular = false;  // and no backup: all of it is kept anyway
  EXPECT_EQ(LetGo(PlanRetention(facts)), Names{});
}

TEST(Retention, OtherHoldsAreNeverLetGo) {
  RetentionFacts facts = Facts();
  facts.straggler_bytes_max = 1;
  facts.disk_free = 0;
  facts.disk_free_min = 1000 * kMiB;
  for (const char* name : {"replay", "capture", "backup 17", "seeding of s4", "replay lag"}) {
    Hold(facts, name, 5);
  }
  EXPECT_EQ(LetGo(PlanRetention(facts)), Names{});
}

TEST(Retention, ALowDiskTakesWhatIsOnlyWantedFirst) {
  RetentionFacts facts = Facts();
  facts.keep_bytes = 1000 * kMiB;
  facts.circular = false;
  facts.disk_free_min = 100 * kMiB;
  facts.disk_free = 90 * kMiB;
  Hold(facts, "passive s3", 65, true);
  const RetentionPlan plan = PlanRetention(facts);
  EXPECT_TRUE(plan.disk_low);
  EXPECT_FALSE(plan.retention);
  EXPECT_FALSE(plan.backup_base);
  EXPECT_EQ(LetGo(plan), Names{});  // six generations, 24 MiB, are enough
}

TEST(Retention, ALowDiskTakesStragglersOldestFirstUntilItIsEnough) {
  RetentionFacts facts = Facts();
  facts.disk_free_min = 100 * kMiB;
  facts.disk_free = 90 * kMiB;
  Hold(facts, "passive s2", 45, true);
  Hold(facts, "passive s3", 5, true);
  const RetentionPlan plan = PlanRetention(facts);
  ASSERT_EQ(LetGo(plan), Names{"passive s3"});
  EXPECT_TRUE(plan.let_go[0].for_disk);
}

TEST(Retention, ALowDiskNeverTakesACopyThatFollows) {
  RetentionFacts facts = Facts();
  facts.disk_free_min = 100 * kMiB;
  Hold(facts, "passive s2", 88, true);  // keeps two generations
  facts.disk_free = 0;
  EXPECT_EQ(LetGo(PlanRetention(facts)), Names{});
}

}  // namespace
}  // namespace understudy::server
