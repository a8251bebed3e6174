// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_source.h"

#include <gtest/gtest.h>

namespace understudy::cluster {
namespace {

using Kind = SourceItem::Kind;

SourceView Copy(const std::string& server, const std::string& state = "Healthy",
                uint64_t seq = 100) {
  SourceView copy;
  copy.server = server;
  copy.server_alive = copy.answered = true;
  copy.state = state;
  copy.replayed = {base::Term(1), base::Seq(seq)};
  return copy;
}

SourceView Active(const std::string& server, const std::string& state = "Mounted") {
  SourceView copy = Copy(server, state, 1000);
  copy.active = true;
  return copy;
}

SourceView Lagged(const std::string& server) {
  SourceView copy = Copy(server);
  copy.replay_lag = std::chrono::hours(7);
  return copy;
}

SourceChoice Choose(const std::string& policy, const std::vector<SourceView>& copies) {
  const base::Result<SourcePolicy> parsed = ParseSourcePolicy(policy);
  EXPECT_TRUE(parsed.ok()) << parsed.status().ToString();
  return ChooseSource(*parsed, copies);
}

std::string Chosen(const std::string& policy, const std::vector<SourceView>& copies) {
  return Choose(policy, copies).server();
}

std::string VerdictOf(const SourceChoice& choice, const std::string& server) {
  for (const SourceCandidate& candidate : choice.candidates) {
    if (candidate.server == server) return candidate.verdict;
  }
  return "it is missing";
}

TEST(SourcePolicy, ItemsAreParsedAndPrintedAgain) {
  const auto policy = ParseSourcePolicy("passive:s3, least-loaded,passive,active,s1");
  ASSERT_TRUE(policy.ok()) << policy.status().ToString();
  const SourcePolicy expected = {{Kind::kPassiveOn, "s3"},
                                 {Kind::kLeastLoaded, ""},
                                 {Kind::kPassive, ""},
                                 {Kind::kActive, ""},
                                 {Kind::kServer, "s1"}};
  EXPECT_EQ(*policy, expected);
  EXPECT_EQ(ToString(*policy), "passive:s3,least-loaded,passive,active,s1");
}

TEST(SourcePolicy, WhatIsNoItemIsRefusedAndNamed) {
  for (const char* bad :
       {"", ",", "passive,", "passive:", "passive:a b", "a/b", "passive;active"}) {
    const auto policy = ParseSourcePolicy(bad);
    ASSERT_FALSE(policy.ok()) << bad;
    EXPECT_EQ(policy.status().code(), base::Code::kInvalidArgument);
    EXPECT_NE(policy.status().message().find("least-loaded"), std::string::npos);
  }
}

TEST(SourcePolicy, AListThatIsTooLongIsRefused) {
  std::string list = "s0";
  for (size_t i = 1; i <= kSourceItemsMax; ++i) list += ",s" + std::to_string(i);
  EXPECT_EQ(ParseSourcePolicy(list).status().code(), base::Code::kInvalidArgument);
}

TEST(BackupSource, PassiveIsTheHealthiestThenTheMostCurrentThenTheOneHere) {
  EXPECT_EQ(Chosen("passive", {Active("s1"), Copy("s2", "DisconnectedAndHealthy", 900),
                               Copy("s3", "Healthy", 100)}),
            "s3");
  EXPECT_EQ(Chosen("passive", {Copy("s2", "Healthy", 100), Copy("s3", "Healthy", 101)}), "s3");
  std::vector<SourceView> copies = {Copy("s2"), Copy("s3")};
  EXPECT_EQ(Chosen("passive", copies), "s2");
  copies[1].here = true;
  EXPECT_EQ(Chosen("passive", copies), "s3");
}

TEST(BackupSource, PassiveNeverTakesTheActiveCopy) {
  const SourceChoice choice = Choose("passive", {Active("s1"), Copy("s2", "Seeding")});
  EXPECT_EQ(choice.server(), "");
  EXPECT_EQ(VerdictOf(choice, "s1"),
            "it is the active copy, which the policy passive does not allow");
  EXPECT_EQ(VerdictOf(choice, "s2"), "it is Seeding");
}

TEST(BackupSource, TheFirstItemWithAnEligibleCopyDecides) {
  const std::vector<SourceView> copies = {Active("s1"), Copy("s2"), Copy("s3", "Failed")};
  EXPECT_EQ(Chosen("passive:s3,passive", copies), "s2");
  EXPECT_EQ(Chosen("passive:s3,active", copies), "s1");
  EXPECT_EQ(Chosen("active,passive", copies), "s1");
  EXPECT_EQ(Chosen("passive:s2,passive:s3", copies), "s2");
}

TEST(BackupSource, PassiveOnAServerEndsWhenItsCopyIsMounted) {
  EXPECT_EQ(Chosen("passive:s1", {Active("s1"), Copy("s2")}), "");
  EXPECT_EQ(Chosen("s1", {Active("s1"), Copy("s2")}), "s1");
}

TEST(BackupSource, LeastLoadedGoesByJobsThenByActiveCopies) {
  std::vector<SourceView> copies = {Copy("s2", "Healthy", 900), Copy("s3"), Copy("s4")};
  copies[0].load = {.backups = 1, .seeds = 0, .mounted = 0};
  copies[1].load = {.backups = 0, .seeds = 1, .mounted = 0};
  copies[2].load = {.backups = 0, .seeds = 0, .mounted = 9};
  EXPECT_EQ(Chosen("least-loaded", copies), "s4");
  copies[1].load = {.backups = 0, .seeds = 0, .mounted = 8};
  EXPECT_EQ(Chosen("least-loaded", copies), "s3");
  EXPECT_EQ(Chosen("passive", copies), "s2");  // which does not ask for load
}

TEST(BackupSource, LeastLoadedPrefersHealthToLeisure) {
  std::vector<SourceView> copies = {Copy("s2"), Copy("s3", "DisconnectedAndHealthy")};
  copies[0].load.backups = 5;
  EXPECT_EQ(Chosen("least-loaded", copies), "s2");
}

TEST(BackupSource, ALaggedCopyComesAfterEverythingElse) {
  EXPECT_EQ(Chosen("passive", {Active("s1"), Lagged("s2"), Copy("s3", "Resynchronizing")}), "s3");
  EXPECT_EQ(Chosen("passive,active", {Active("s1"), Lagged("s2")}), "s1");
  const SourceChoice last = Choose("passive", {Active("s1"), Lagged("s2")});
  EXPECT_EQ(last.server(), "s2");
  EXPECT_NE(VerdictOf(last, "s2").find("lags by 7h"), std::string::npos);
}

TEST(BackupSource, ALaggedCopyThatIsNamedKeepsItsPlace) {
  EXPECT_EQ(Chosen("passive:s2,active", {Active("s1"), Lagged("s2")}), "s2");
  EXPECT_EQ(Chosen("s2,active", {Active("s1"), Lagged("s2")}), "s2");
}

TEST(BackupSource, DeadAndSilentServersAreNotChosen) {
  std::vector<SourceView> copies = {Copy("s2"), Copy("s3"), Copy("s4")};
  copies[0].server_alive = false;
  copies[1].answered = false;
  const SourceChoice choice = Choose("passive", copies);
  EXPECT_EQ(choice.server(), "s4");
  EXPECT_EQ(VerdictOf(choice, "s2"), "its server has no lease");
  EXPECT_EQ(VerdictOf(choice, "s3"), "its server does not answer");
}

TEST(BackupSource, ASuspendedCopyIsReadOnlyIfItsServerIsNamed) {
  EXPECT_EQ(Chosen("passive", {Copy("s2", "Suspended")}), "");
  EXPECT_EQ(Chosen("s2", {Copy("s2", "Suspended")}), "s2");
}

TEST(BackupSource, ACopyThatIsBeingRepairedIsNotRead) {
  EXPECT_EQ(Chosen("passive,s2", {Copy("s2", "PageRepair")}), "");
}

TEST(BackupSource, AServerInMaintenanceComesAfterOthers) {
  std::vector<SourceView> copies = {Copy("s2", "Healthy", 900), Copy("s3")};
  copies[0].in_maintenance = true;
  EXPECT_EQ(Chosen("passive", copies), "s3");
  copies.pop_back();
  EXPECT_EQ(Chosen("passive", copies), "s2");
}

TEST(BackupSource, AnActiveCopyThatIsNotMountedIsNotChosen) {
  const SourceChoice choice = Choose("active,passive", {Active("s1", "Failed"), Copy("s2")});
  EXPECT_EQ(choice.server(), "s2");
  EXPECT_EQ(VerdictOf(choice, "s1"), "it is Failed");
}

TEST(BackupSource, EveryCopyIsExplained) {
  const SourceChoice choice = Choose("passive:s3,active", {Active("s1"), Copy("s2"), Copy("s3")});
  ASSERT_EQ(choice.candidates.size(), 3u);
  EXPECT_EQ(choice.candidates[0].server, "s3");
  EXPECT_EQ(choice.candidates[0].item, "passive:s3");
  EXPECT_EQ(choice.candidates[1].server, "s1");
  EXPECT_TRUE(choice.candidates[1].eligible);
  EXPECT_FALSE(choice.candidates[2].eligible);
  EXPECT_NE(Explain(choice).find("s2: it is the passive copy, which the policy"),
            std::string::npos);
}

}  // namespace
}  // namespace understudy::cluster
