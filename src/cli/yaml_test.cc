// SPDX-License-Identifier: Apache-2.0
#include "cli/yaml.h"

#include <gtest/gtest.h>

namespace understudy::cli {
namespace {

TEST(Yaml, HasTheShapeOfTheDocument) {
  const Json document = {
      {"databases",
       {{{"name", "orders"},
         {"position", 7},
         {"error", nullptr},
         {"copies", {{{"server", "s1"}, {"role", "active"}}, {{"server", "s2"}}}},
         {"holds", Json::array()},
         {"scrub", Json::object()}}}},
      {"ok", true}};
  EXPECT_EQ(ToYaml(document),
            "databases:\n"
            "  - name: orders\n"
            "    position: 7\n"
            "    error: null\n"
            "    copies:\n"
            "      - server: s1\n"
            "        role: active\n"
            "      - server: s2\n"
            "    holds: []\n"
            "    scrub: {}\n"
            "ok: true\n");
}

TEST(Yaml, QuotesWhatCouldBeSomethingElse) {
  const std::pair<const char*, const char*> cases[] = {
      {"orders", "orders"},
      {"/var/lib", "\"/var/lib\""},
      {"", "\"\""},
      {"yes", "\"yes\""},
      {"NULL", "\"NULL\""},
      {"7", "\"7\""},
      {"a: b", "\"a: b\""},
      {"a #b", "\"a #b\""},
      {"- a", "\"- a\""},
      {"two\nlines", "\"two\\nlines\""},
      {"2026-11-27T00:00:00Z", "\"2026-11-27T00:00:00Z\""},
      {"s3://bucket", "\"s3://bucket\""}};
  for (const auto& [text, yaml] : cases) {
    EXPECT_EQ(ToYaml(Json{{"k", text}}), std::string("k: ") + yaml + "\n");
  }
  EXPECT_EQ(ToYaml(Json{{"no", 1}, {"a b", 2}}), "\"no\": 1\n\"a b\": 2\n");
  EXPECT_EQ(ToYaml(Json::array({Json::array({1, 2}), "x"})), "- - 1\n  - 2\n- x\n");
}

}  // namespace
}  // namespace understudy::cli
