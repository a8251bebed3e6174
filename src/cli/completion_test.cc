// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_shape.h"
#include "cli/manual_page.h"

namespace understudy::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> Words(const std::vector<std::string>& typed) {
  return Complete(typed).words;
}

TEST(Completion, OfCommandsAndTheirGroups) {
  EXPECT_THAT(Words({"back"}), ElementsAre("backup"));
  EXPECT_THAT(Words({""}), AllOf(Contains("status"), Contains("backup"), Not(Contains("complete")),
                                 Not(Contains("reference"))));
  EXPECT_THAT(Words({"backup", "ver"}), ElementsAre("verify"));
  EXPECT_THAT(Words({"nonsense", ""}), ElementsAre());
}

TEST(Completion, OfOptionsAndTheirValues) {
  EXPECT_THAT(Words({"backup", "run", "--ty"}), ElementsAre("--type"));
  EXPECT_THAT(Words({"backup", "run", "--type", "in"}), ElementsAre("incremental"));
  EXPECT_THAT(Words({"status", "-o", ""}), ElementsAre("table", "json", "yaml"));
  EXPECT_THAT(Words({"-o", "json", "backup", "li"}), ElementsAre("list"));
  EXPECT_EQ(Complete({"backup", "run", "--to", ""}).wanted, Wanted::kFile);
}

TEST(Completion, OfNamesThatOnlyTheGroupKnows) {
  EXPECT_EQ(Complete({"status", ""}).wanted, Wanted::kDatabase);
  EXPECT_EQ(Complete({"copy", "add", ""}).wanted, Wanted::kDatabase);
  EXPECT_EQ(Complete({"copy", "add", "orders", "s"}).wanted, Wanted::kServer);
  EXPECT_EQ(Complete({"copy", "add", "--no-wait", "orders", "s"}).wanted, Wanted::kServer);
  EXPECT_EQ(Complete({"copy", "add", "orders", "s3", ""}).wanted, Wanted::kNothing);
}

TEST(Completion, HasAScriptForEachShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_THAT(CompletionScript(shell), HasSubstr("understudy complete --")) << shell;
  }
  EXPECT_EQ(CompletionScript("csh"), "");
}

TEST(ManualPage, HasEveryCommandAndNoStrayRequest) {
  const std::string page = ManualPage();
  for (const CommandShape& shape : AllShapes()) {
    std::string words = shape.Words();
    for (size_t at = 0; (at = words.find('-', at)) != std::string::npos; at += 2) {
      words.replace(at, 1, "\\-");
    }
    EXPECT_THAT(page, HasSubstr("\n.SS " + words + "\n"));
  }
  size_t from = 0;
  while (from < page.size()) {
    const size_t end = page.find('\n', from);
    const std::string line = page.substr(from, end - from);
    if (line.starts_with(".")) {
      EXPECT_THAT(line.substr(0, 3),
                  ::testing::AnyOf(".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi", ".RS", ".RE"));
    }
    EXPECT_FALSE(line.empty());
    from = end + 1;
  }
}

}  // namespace
}  // namespace understudy::cli
