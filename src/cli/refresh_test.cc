// SPDX-License-Identifier: Apache-2.0
#include "cli/refresh.h"

#include <gtest/gtest.h>

#include <sstream>

namespace understudy::cli {
namespace {

class RefreshTest : public ::testing::Test {
 protected:
  base::Status Run(bool terminal, uint64_t count, const std::function<base::Status()>& show) {
    Output output(out_, error_, {.out_terminal = terminal});
    Context context(globals_, output, env::PosixEnv());
    return Refresh(context, {.every = std::chrono::milliseconds(1), .count = count}, [&] {
      const base::Status shown = show();
      if (shown.ok()) output.Text("row\n");
      return shown;
    });
  }

  Globals globals_;
  std::ostringstream out_;
  std::ostringstream error_;
};

TEST_F(RefreshTest, OneBelowTheOtherWhereThereIsNoTerminal) {
  EXPECT_TRUE(Run(false, 3, [] { return base::Status(); }).ok());
  EXPECT_EQ(out_.str(), "row\n\nrow\n\nrow\n");
}

TEST_F(RefreshTest, InPlaceOnATerminal) {
  EXPECT_TRUE(Run(true, 2, [] { return base::Status(); }).ok());
  EXPECT_EQ(out_.str(), "\x1b[H\x1b[2Jrow\n\x1b[H\x1b[2Jrow\n");
}

TEST_F(RefreshTest, OnlyTheFirstFailureEndsIt) {
  EXPECT_EQ(Run(false, 3, [] { return base::Unavailable("away"); }).code(),
            base::Code::kUnavailable);
  int round = 0;
  EXPECT_TRUE(Run(false, 3, [&] {
                return ++round == 2 ? base::Unavailable("away") : base::Status();
              }).ok());
  EXPECT_NE(error_.str().find("away"), std::string::npos);
}

TEST(Sparkline, ShowsTheLargestFull) {
  EXPECT_EQ(Sparkline({}), "");
  EXPECT_EQ(Sparkline({0, 0, 0}), "▁▁▁");
  EXPECT_EQ(Sparkline({0, 50, 100}), "▁▄█");
  EXPECT_EQ(Sparkline({UINT64_MAX}), "█");
}

}  // namespace
}  // namespace understudy::cli
