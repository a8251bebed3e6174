// SPDX-License-Identifier: Apache-2.0
#include "server/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace understudy::server {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(Journal, LineBecomesFieldsThatCanBeAskedFor) {
  EXPECT_THAT(JournalEntry(base::DiagLevel::kWarning, "event", "connection lost",
                           {{"number", 2153}, {"database", "orders"}, {"peer-name", "s 2"}}),
              ElementsAre("MESSAGE=event connection lost number=2153 database=orders "
                          "peer-name=\"s 2\"",
                          "PRIORITY=4", "SYSLOG_IDENTIFIER=understudyd", "UNDERSTUDY_AREA=event",
                          "UNDERSTUDY_NUMBER=2153", "UNDERSTUDY_DATABASE=orders",
                          "UNDERSTUDY_PEER_NAME=s 2"));
  EXPECT_THAT(JournalEntry(base::DiagLevel::kError, "log", "x", {}), Contains("PRIORITY=3"));
}

TEST(Journal, LongValuesAreCutOff) {
  const auto entry =
      JournalEntry(base::DiagLevel::kInfo, "a", std::string(kJournalFieldBytesMax * 2, 'x'), {});
  EXPECT_LE(entry.front().size(), kJournalFieldBytesMax + 10);
}

TEST(Journal, IsOursOnlyWhereStandardErrorIsThatStream) {
  struct stat about{};
  ASSERT_EQ(::fstat(STDERR_FILENO, &about), 0);
  const std::string ours = std::to_string(about.st_dev) + ":" + std::to_string(about.st_ino);
  ::setenv("JOURNAL_STREAM", ours.c_str(), 1);
  EXPECT_TRUE(IsJournalOurs());
  ::setenv("JOURNAL_STREAM", "1:2", 1);
  EXPECT_FALSE(IsJournalOurs());
  ::unsetenv("JOURNAL_STREAM");
  EXPECT_FALSE(IsJournalOurs());
}

}  // namespace
}  // namespace understudy::server
