// SPDX-License-Identifier: Apache-2.0
// Which events belong to a backup, and what is advised.
#include "cli/backup_timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Event MakeEvent(int64_t time_ms, uint32_t number, const std::string& severity,
                    const std::string& database, const std::string& message) {
  v1::Event event;
  event.set_time_ms(time_ms);
  event.set_number(number);
  event.set_severity(severity);
  event.set_server("s2");
  event.set_database(database);
  event.set_message(message);
  return event;
}

v1::WritersResponse OneWriter(const std::string& id, int64_t began_ms, int64_t ended_ms) {
  v1::WritersResponse writers;
  v1::Writer& writer = *writers.add_writers();
  writer.set_server("s2");
  v1::WriterSession& last = *writer.mutable_last();
  last.set_id(id);
  last.set_began_ms(began_ms);
  last.set_ended_ms(ended_ms);
  v1::WriterStep& step = *last.add_steps();
  step.set_event("PrepareForBackup");
  step.set_began_ms(began_ms + 1);
  return writers;
}

std::vector<int64_t> Times(const BackupTimeline& timeline) {
  std::vector<int64_t> times;
  for (const BackupTimeline::Entry& entry : timeline.entries) times.push_back(entry.time_ms);
  return times;
}

TEST(BackupTimeline, HasTheSessionAndWhatHappenedToItsDatabaseAndConnectionsMeanwhile) {
  const std::vector<v1::Event> events = {
      MakeEvent(900, 2012, "info", "mail", "mounted"),    // before
      MakeEvent(1500, 2153, "warning", "", "lost"),       // the connection
      MakeEvent(1600, 2012, "info", "other", "mounted"),  // another database
      MakeEvent(1700, 2043, "warning", "mail", "goes on alone"),
      MakeEvent(9000, 2012, "info", "mail", "mounted"),  // after
  };
  const auto timeline = MakeBackupTimeline("mail", "", OneWriter("b1", 1000, 2000), events);
  ASSERT_TRUE(timeline.ok()) << timeline.status().ToString();
  EXPECT_EQ(timeline->id, "b1");
  EXPECT_THAT(Times(*timeline), ElementsAre(1001, 1500, 1700));
  EXPECT_THAT(timeline->advice, ElementsAre(HasSubstr("2153"), HasSubstr("2043")));
  EXPECT_THAT(RenderTimeline(*timeline), HasSubstr("it succeeded"));
}

TEST(BackupTimeline, NamesTheSettingOfTheLimitThatWasReached) {
  v1::WritersResponse writers = OneWriter("b1", 1000, 2000);
  v1::WriterFailure& failure = *writers.mutable_writers(0)->mutable_last()->mutable_failure();
  failure.set_phase("PrepareForBackup");
  failure.set_setting("PrepareForBackupTimeoutInMsec");
  const auto timeline = MakeBackupTimeline("mail", "b1", writers, {});
  ASSERT_TRUE(timeline.ok());
  EXPECT_THAT(timeline->advice, ElementsAre(HasSubstr("config set PrepareForBackupTimeoutInMsec")));
}

TEST(BackupTimeline, OfAnOlderOneHasWhatTheEventsSay) {
  const std::vector<v1::Event> events = {
      MakeEvent(100, 2040, "info", "mail", "full backup b0 of mail begins"),
      MakeEvent(200, 2153, "warning", "", "lost"),
      MakeEvent(300, 2041, "info", "mail", "full backup b0 of mail is complete"),
  };
  const auto timeline = MakeBackupTimeline("mail", "b0", OneWriter("b1", 1000, 2000), events);
  ASSERT_TRUE(timeline.ok());
  EXPECT_FALSE(timeline->session_known);
  EXPECT_THAT(Times(*timeline), ElementsAre(100, 200, 300));
}

TEST(BackupTimeline, OfOneThatNobodyKnowsIsNotFound) {
  const auto timeline = MakeBackupTimeline("mail", "b7", OneWriter("b1", 1000, 2000), {});
  EXPECT_EQ(timeline.status().code(), base::Code::kNotFound);
  EXPECT_THAT(timeline.status().message(), HasSubstr("b7"));
  EXPECT_FALSE(MakeBackupTimeline("mail", "", {}, {}).ok());
}

}  // namespace
}  // namespace understudy::cli
