// SPDX-License-Identifier: Apache-2.0
// What goes to which stream in which form: results, failures, progress.
#include "cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "cli/progress_view.h"
#include "testing/mem_env.h"
#include "testing/sim_clock.h"

namespace understudy::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

class OutputTest : public testing::Test {
 protected:
  std::ostringstream out_;
  std::ostringstream error_;
};

TEST_F(OutputTest, RowsAreADocumentForProgramsAndATableForPeople) {
  const Json rows = {{{"name", "s1"}}};
  Output table(out_, error_, {});
  table.Rows("servers", rows, {{"name"}}, "none");
  EXPECT_EQ(out_.str(), "NAME\ns1\n");
  out_.str("");
  Output json(out_, error_, {.format = Format::kJson});
  json.Rows("servers", rows, {{"name"}}, "none");
  EXPECT_EQ(Json::parse(out_.str()), Json({{"servers", rows}}));
}

TEST_F(OutputTest, NoRowsAreAnEmptyListForProgramsAndASentenceForPeople) {
  Output(out_, error_, {}).Rows("servers", Json::array(), {{"name"}}, "No server.");
  EXPECT_EQ(out_.str(), "No server.\n");
  out_.str("");
  Output(out_, error_, {.format = Format::kJson}).Rows("servers", Json::array(), {{"name"}}, "");
  EXPECT_EQ(Json::parse(out_.str())["servers"], Json::array());
}

TEST_F(OutputTest, FailureIsOneSentenceAndAHintOnStandardError) {
  Output output(out_, error_, {});
  output.Failure(base::NotFound("no database 'mial'\nhint: did you mean 'mail'?"), "unused");
  EXPECT_EQ(error_.str(), "understudy: no database 'mial'\nhint: did you mean 'mail'?\n");
  EXPECT_EQ(out_.str(), "");
}

TEST_F(OutputTest, FailureTakesTheGivenHintWhenTheMessageHasNone) {
  Output output(out_, error_, {.format = Format::kJson});
  output.Failure(base::Busy("s3 is being seeded"), "wait");
  EXPECT_EQ(
      Json::parse(error_.str()),
      Json({{"error", {{"code", "busy"}, {"message", "s3 is being seeded"}, {"hint", "wait"}}}}));
}

TEST_F(OutputTest, MessageFromAServerCannotMoveTheCursorOrAddLines) {
  Output output(out_, error_, {});
  output.Failure(base::Internal("a\x1b[2Jb\nhint\nmore\nlines\n"), "");
  EXPECT_EQ(error_.str(), "understudy: a?[2Jb\nhint: hint more lines\n");
}

TEST_F(OutputTest, BytesThatAreNotUtf8NeverMakeJsonFail) {
  Output output(out_, error_, {.format = Format::kJson});
  output.Document(Json{{"path", "/tmp/\xff"}}, "");
  EXPECT_FALSE(Json::parse(out_.str(), nullptr, false).is_discarded());
}

class ProgressTest : public OutputTest {
 protected:
  // Reports `steps` equal steps of a work of 100 MiB, one every `step`.
  void Work(Output& output, int steps, base::Duration step) {
    ProgressView view(output, env_);
    for (int i = 0; i <= steps; ++i) {
      view.Update(
          {.phase = "seeding",
           .bytes_done = 100 * kMiB * static_cast<uint64_t>(i) / static_cast<uint64_t>(steps),
           .bytes_total = 100 * kMiB});
      clock_.Advance(step);
    }
  }
  size_t Lines() const {
    const std::string text = error_.str();
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  test::SimClock clock_;
  test::MemEnv env_{{.clock = &clock_}};
};

TEST_F(ProgressTest, MeterKnowsRateAndRemainingTime) {
  ProgressMeter meter;
  base::SteadyTime now{};
  EXPECT_FALSE(meter.Remaining(0, 100 * kMiB));
  for (uint64_t i = 0; i <= 10; ++i, now += seconds(1)) meter.Update(i * 5 * kMiB, now);
  EXPECT_NEAR(meter.bytes_per_second(), 5.0 * kMiB, 1);
  EXPECT_EQ(meter.Remaining(50 * kMiB, 100 * kMiB), base::Duration(seconds(10)));
}

TEST_F(ProgressTest, MeterFollowsAStall) {
  ProgressMeter meter;
  base::SteadyTime now{};
  for (uint64_t i = 0; i <= 5; ++i, now += seconds(1)) meter.Update(i * 5 * kMiB, now);
  for (int i = 0; i < 30; ++i, now += seconds(1)) meter.Update(25 * kMiB, now);
  EXPECT_LT(meter.bytes_per_second(), 0.01 * kMiB);
}

TEST_F(ProgressTest, MeterStartsAgainWhenTheWorkDoes) {
  ProgressMeter meter;
  base::SteadyTime now{};
  meter.Update(50 * kMiB, now);
  meter.Update(60 * kMiB, now + seconds(1));
  meter.Update(0, now + seconds(2));
  EXPECT_EQ(meter.bytes_per_second(), 0);
}

TEST_F(ProgressTest, LinesElsewhereAreFewAndEndAtAHundredPercent) {
  Output output(out_, error_, {});
  Work(output, 1000, milliseconds(5));
  EXPECT_LE(Lines(), 6u);
  EXPECT_GE(Lines(), 4u);
  EXPECT_THAT(error_.str(), HasSubstr("100%  100 MiB of 100 MiB"));
  EXPECT_THAT(error_.str(), testing::Not(HasSubstr("\r")));
}

TEST_F(ProgressTest, WorkThatIsOverAtOnceLeavesNoLines) {
  Output output(out_, error_, {});
  Work(output, 100, milliseconds(1));
  EXPECT_EQ(error_.str(), "");
}

TEST_F(ProgressTest, TerminalRedrawsOneLine) {
  Output output(out_, error_, {.error_terminal = true});
  Work(output, 100, milliseconds(20));
  EXPECT_EQ(Lines(), 1u);
  EXPECT_THAT(error_.str(), HasSubstr("\rseeding  ["));
  EXPECT_THAT(error_.str(), HasSubstr(" left"));
}

TEST_F(ProgressTest, ProgramsGetALineOfJsonEach) {
  Output output(out_, error_, {.format = Format::kJson, .error_terminal = true});
  Work(output, 10, seconds(1));
  std::istringstream lines(error_.str());
  Json last;
  for (std::string line; std::getline(lines, line);) last = Json::parse(line);
  EXPECT_EQ(last["progress"]["phase"], "seeding");
  EXPECT_EQ(last["progress"]["bytes_done"], 100 * kMiB);
  EXPECT_EQ(out_.str(), "");
}

TEST_F(ProgressTest, BarFitsTheTerminal) {
  ProgressMeter meter;
  meter.Update(0, {});
  meter.Update(10 * kMiB, base::SteadyTime(seconds(1)));
  const base::Progress progress{
      .phase = "backing up", .bytes_done = 10 * kMiB, .bytes_total = 100 * kMiB};
  EXPECT_EQ(RenderBar(progress, meter, 80),
            "backing up  [==>                  ]   10%  10 MiB of 100 MiB  10 MiB/s  9 s left");
  for (size_t columns = 80; columns < 120; ++columns) {
    EXPECT_LE(RenderBar(progress, meter, columns).size(), columns);
  }
}

}  // namespace
}  // namespace understudy::cli
