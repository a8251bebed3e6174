// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_plans.h"

#include <gtest/gtest.h>

#include <memory>

#include "cluster/embedded_coordinator.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::cluster {
namespace {

base::WallTime At(std::string_view text) { return base::FromRfc3339(text).value(); }
std::string BeginOf(const std::optional<NextRun>& next) {
  return next ? base::ToRfc3339(next->begin) : "never";
}

ScheduleRecord Nightly() {
  return {.name = "nightly",
          .chore = Chore::kIncremental,
          .when = "02:00",
          .databases = {"orders"},
          .repository = "offsite",
          .from = "passive",
          .created = At("2026-11-27T12:00:00Z")};
}

RunRecord RunAt(std::string_view begun, RunState state) {
  return {.schedule = "nightly",
          .database = "orders",
          .state = state,
          .due = At(begun),
          .begun = At(begun),
          .ended = state == RunState::kRunning ? base::WallTime{} : At(begun),
          .server = "s2",
          .instance = "one",
          .attempts = 1};
}

const std::map<std::string, std::string> kBothLive = {{"s1", "one"}, {"s2", "one"}};

class BackupPlansTest : public testing::Test {
 protected:
  test::TempDir directory_;
  test::MemEnv env_;
  std::unique_ptr<EmbeddedCoordinator> coordinator_ =
      EmbeddedCoordinator::Open(env_, directory_.File("group.db")).value();
  BackupPlans plans_{*coordinator_};
};

TEST_F(BackupPlansTest, RecordsComeBackAsTheyWere) {
  const RepositoryRecord offsite = {.name = "offsite",
                                    .location = "s3://backups/group?endpoint=https://s3.example",
                                    .rate = 20 << 20,
                                    .key_file = "/etc/understudy/key",
                                    .keep_full = 4,
                                    .keep_days = 30,
                                    .created = At("2026-11-27T12:00:00Z")};
  ASSERT_TRUE(plans_.CreateRepository(offsite).ok());
  EXPECT_EQ(plans_.CreateRepository(offsite).code(), base::Code::kAlreadyExists);
  ScheduleRecord nightly = Nightly();
  nightly.jitter = std::chrono::minutes(10);
  ASSERT_TRUE(plans_.CreateSchedule(nightly).ok());
  RunRecord run = RunAt("2026-11-28T02:00:00Z", RunState::kFailed);
  run.message = "no room \xff";
  ASSERT_TRUE(plans_.PutRun(run).value());

  const auto view = plans_.Read();
  ASSERT_TRUE(view.ok()) << view.status().ToString();
  ASSERT_EQ(view->repositories.size(), 1u);
  EXPECT_EQ(ToJson(view->repositories[0]), ToJson(offsite));
  ASSERT_EQ(view->schedules.size(), 1u);
  EXPECT_EQ(ToJson(view->schedules[0]), ToJson(nightly));
  ASSERT_NE(view->FindRun("nightly", "orders"), nullptr);
  EXPECT_EQ(ToJson(*view->FindRun("nightly", "orders")), ToJson(run));
  EXPECT_EQ(view->FindRun("nightly", "users"), nullptr);
}

TEST_F(BackupPlansTest, LocationHasRateAndKey) {
  RepositoryRecord record = {.name = "here", .location = "/srv/backups"};
  EXPECT_EQ(record.FullLocation(), "/srv/backups");
  record.rate = 1000;
  record.key_file = "/etc/key";
  EXPECT_EQ(record.FullLocation(), "/srv/backups?rate=1000&key=/etc/key");
  record.location = "s3://b/p?region=eu";
  EXPECT_EQ(record.FullLocation(), "s3://b/p?region=eu&rate=1000&key=/etc/key");
}

TEST_F(BackupPlansTest, OneOfTwoClaimsARun) {
  RunRecord first = RunAt("2026-11-28T02:00:00Z", RunState::kRunning);
  RunRecord second = first;
  second.server = "s3";
  EXPECT_TRUE(plans_.PutRun(first).value());
  EXPECT_FALSE(plans_.PutRun(second).value());
  first.state = RunState::kDone;
  EXPECT_TRUE(plans_.PutRun(first).value());
  EXPECT_EQ(plans_.FindRun("nightly", "orders")->server, "s2");
}

TEST_F(BackupPlansTest, RepositoryOfAScheduleStays) {
  ASSERT_TRUE(plans_.CreateRepository({.name = "offsite", .location = "/srv"}).ok());
  ASSERT_TRUE(plans_.CreateSchedule(Nightly()).ok());
  RunRecord run = RunAt("2026-11-28T02:00:00Z", RunState::kDone);
  ASSERT_TRUE(plans_.PutRun(run).value());
  const base::Status refused = plans_.RemoveRepository("offsite");
  EXPECT_EQ(refused.code(), base::Code::kBusy);
  EXPECT_NE(refused.message().find("schedule nightly"), std::string::npos);
  EXPECT_EQ(plans_.RemoveRepository("onsite").code(), base::Code::kNotFound);
  ASSERT_TRUE(plans_.RemoveSchedule("nightly").ok());
  EXPECT_EQ(plans_.FindRun("nightly", "orders").status().code(), base::Code::kNotFound);
  EXPECT_TRUE(plans_.RemoveRepository("offsite").ok());
  EXPECT_TRUE(plans_.Repositories()->empty());
}

TEST_F(BackupPlansTest, SettingsAreChangedByName) {
  ASSERT_TRUE(plans_.CreateSchedule(Nightly()).ok());
  const auto changed = plans_.UpdateSchedule("nightly", [](ScheduleRecord& record) {
    record.paused = true;
    return base::Status();
  });
  ASSERT_TRUE(changed.ok());
  EXPECT_TRUE(plans_.Schedules()->front().paused);
  EXPECT_EQ(plans_.UpdateSchedule("weekly", [](ScheduleRecord&) { return base::Status(); })
                .status()
                .code(),
            base::Code::kNotFound);
}

TEST(NextRunOf, IsTheFirstAfterTheScheduleWasMadeOrTheLastRunBegan) {
  EXPECT_EQ(BeginOf(NextRunOf(Nightly(), "orders", nullptr, kBothLive)),
            "2026-11-28T02:00:00.000Z");
  const RunRecord last = RunAt("2026-11-28T02:00:00Z", RunState::kDone);
  EXPECT_EQ(BeginOf(NextRunOf(Nightly(), "orders", &last, kBothLive)), "2026-11-29T02:00:00.000Z");
}

TEST(NextRunOf, ManyMissedOnesAreOne) {
  // All servers were away for days; the next one begins after what was made up for.
  const RunRecord last = RunAt("2026-12-03T09:30:00Z", RunState::kDone);
  EXPECT_EQ(BeginOf(NextRunOf(Nightly(), "orders", &last, kBothLive)), "2026-12-04T02:00:00.000Z");
}

TEST(NextRunOf, JitterIsTheSameEachTimeAndSpreadsDatabases) {
  ScheduleRecord schedule = Nightly();
  schedule.jitter = std::chrono::hours(1);
  std::map<int64_t, int> begins;
  for (int i = 0; i < 20; ++i) {
    const std::string database = "db" + std::to_string(i);
    const auto next = NextRunOf(schedule, database, nullptr, kBothLive);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->begin, NextRunOf(schedule, database, nullptr, kBothLive)->begin);
    EXPECT_GE(next->begin, next->due);
    EXPECT_LE(next->begin.unix_ms - next->due.unix_ms, 3'600'000);
    ++begins[next->begin.unix_ms];
  }
  EXPECT_GT(begins.size(), 15u);
}

TEST(NextRunOf, RunningOneIsNotBegunAgainWhileItsDaemonLives) {
  const RunRecord last = RunAt("2026-11-28T02:00:00Z", RunState::kRunning);
  EXPECT_FALSE(NextRunOf(Nightly(), "orders", &last, kBothLive));
  // Dead, or started anew: at once, as the second attempt.
  for (const std::map<std::string, std::string>& live :
       {std::map<std::string, std::string>{{"s1", "one"}},
        std::map<std::string, std::string>{{"s1", "one"}, {"s2", "two"}}}) {
    const auto again = NextRunOf(Nightly(), "orders", &last, live);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->begin, last.begun);
    EXPECT_EQ(again->due, last.due);
    EXPECT_EQ(again->attempt, 2u);
  }
}

TEST(NextRunOf, FailedOneIsTriedAgainLaterAndNotForEver) {
  RunRecord last = RunAt("2026-11-28T02:00:00Z", RunState::kFailed);
  EXPECT_EQ(BeginOf(NextRunOf(Nightly(), "orders", &last, kBothLive)), "2026-11-28T02:05:00.000Z");
  last.attempts = 2;
  EXPECT_EQ(BeginOf(NextRunOf(Nightly(), "orders", &last, kBothLive)), "2026-11-28T02:10:00.000Z");
  last.attempts = RunRecord::kAttemptsMax;
  EXPECT_EQ(BeginOf(NextRunOf(Nightly(), "orders", &last, kBothLive)), "2026-11-29T02:00:00.000Z");
}

TEST(NextRunOf, PausedOneIsDoneOnlyWhenAsked) {
  ScheduleRecord schedule = Nightly();
  schedule.paused = true;
  RunRecord last = RunAt("2026-11-28T02:00:00Z", RunState::kFailed);
  EXPECT_FALSE(NextRunOf(schedule, "orders", &last, kBothLive));
  last.asked = At("2026-11-28T10:00:00Z");
  EXPECT_EQ(BeginOf(NextRunOf(schedule, "orders", &last, kBothLive)), "2026-11-28T10:00:00.000Z");
}

TEST(BackupPlanRecords, OfAnotherShapeAreRefusedByKeyAndField) {
  for (const char* text :
       {"", "[]", "{}", R"({"name":"a/b","location":"/x"})", R"({"name":"a","location":7})",
        R"({"name":"a","location":"/x","keep_days":99999999999})"}) {
    const base::Status refused = RepositoryFromJson("repositories/a", text).status();
    EXPECT_EQ(refused.code(), base::Code::kCorruption) << text;
    EXPECT_NE(refused.message().find("repositories/a"), std::string::npos) << text;
  }
  for (const char* text : {"{}", R"({"name":"a","chore":"dance"})",
                           R"({"name":"a","chore":"full","databases":[7]})"}) {
    EXPECT_EQ(ScheduleFromJson("schedules/a", text).status().code(), base::Code::kCorruption);
  }
  EXPECT_EQ(RunFromJson("runs/a/b", R"({"state":"asleep"})").status().code(),
            base::Code::kCorruption);
}

}  // namespace
}  // namespace understudy::cluster
