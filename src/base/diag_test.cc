// SPDX-License-Identifier: Apache-2.0
#include "base/diag.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace understudy::base {
namespace {

TEST(Diag, QuotesValuesThatWouldBreakTheLine) {
  const std::vector<DiagField> fields = {
      {"plain", "s1"}, {"number", 17}, {"empty", ""}, {"spaces", "a b"}, {"equals", "a=b"}};
  EXPECT_EQ(FormatDiag("connected", fields),
            "connected plain=s1 number=17 empty=\"\" spaces=\"a b\" equals=\"a=b\"");
}

TEST(Diag, EscapesQuotesBackslashesAndControlBytes) {
  EXPECT_EQ(FormatDiag("m", {{"k", "say \"hi\" \\ bye\nnext"}}),
            "m k=\"say \\\"hi\\\" \\\\ bye\\nnext\"");
  const std::string line = FormatDiag("m", {{"k", std::string("a\rb\x1b[31mc\0d", 11)}});
  for (const char c : line) EXPECT_GE(c, ' ') << line;
}

TEST(Diag, GoesToTheSinkFromTheLowestLevelUp) {
  std::vector<std::string> lines;
  SetDiagSink([&](DiagLevel, std::string_view area, std::string_view message,
                  const std::vector<DiagField>& fields) {
    lines.push_back(std::string(area) + " " + FormatDiag(message, fields));
  });
  SetDiagLevel(DiagLevel::kWarning);
  Diag(DiagLevel::kInfo, "ship", "not this");
  Diag(DiagLevel::kWarning, "ship", "this", {{"peer", "s2"}});
  SetDiagLevel(DiagLevel::kInfo);
  Diag(DiagLevel::kInfo, "log", "that");
  SetDiagSink({});
  EXPECT_EQ(lines, (std::vector<std::string>{"ship this peer=s2", "log that"}));
}

}  // namespace
}  // namespace understudy::base
