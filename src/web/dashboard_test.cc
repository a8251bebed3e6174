// SPDX-License-Identifier: Apache-2.0
#include "web/dashboard.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <string>

#include "web/answer.h"
#include "web/source_fixture.h"

namespace understudy::web {
namespace {

Answer Get(const std::string& path) {
  const test::FixedSource source;
  return AnswerTo({"GET", path, {}}, source);
}

TEST(Dashboard, IsServedWithEveryFileThatItNames) {
  const Answer page = Get("/");
  ASSERT_EQ(page.code, 200);
  EXPECT_STREQ(page.type, "text/html; charset=utf-8");
  EXPECT_NE(page.body.find("<!doctype html>"), std::string::npos);
  const std::string folder = "\"/dashboard/";
  int named = 0;
  for (size_t at = page.body.find(folder); at != std::string::npos;
       at = page.body.find(folder, at + 1), ++named) {
    const size_t end = page.body.find('"', at + 1);
    const std::string path = page.body.substr(at + 1, end - at - 1);
    EXPECT_EQ(Get(path).code, 200) << path;
  }
  EXPECT_GE(named, 3);
  for (const DashboardFile& file : kDashboardFiles) {
    const Answer answer = Get("/dashboard/" + std::string(file.name));
    EXPECT_EQ(answer.code, 200) << file.name;
    EXPECT_EQ(answer.body, file.content);
    EXPECT_STRNE(answer.type, "application/octet-stream") << file.name;
  }
}

TEST(Dashboard, AsksNobodyElse) {
  for (const DashboardFile& file : kDashboardFiles) {
    std::string content(file.content);
    // The name of SVG's namespace is no address that is asked.
    for (const std::string svg = "http://www.w3.org/2000/svg"; content.find(svg) != content.npos;) {
      content.erase(content.find(svg), svg.size());
    }
    for (const char* address : {"http://", "https://", "src=\"//", "url(", "@import"}) {
      EXPECT_EQ(content.find(address), std::string::npos) << file.name << ": " << address;
    }
  }
}

TEST(Dashboard, HasNoOtherFiles) {
  for (const char* path : {"/dashboard", "/dashboard/", "/dashboard/none.js", "/dashboard/..",
                           "/dashboard/../answer.cc", "/api", "/api/v1", "/api/v2/state"}) {
    EXPECT_EQ(Get(path).code, 404) << path;
  }
}

TEST(Dashboard, StateHasGroupAndCopiesHere) {
  const auto json = nlohmann::json::parse(Get("/api/v1/state").body);
  EXPECT_EQ(json["api"], 1);
  EXPECT_EQ(json["server"], "s1");
  EXPECT_EQ(json["registry_read"], true);
  EXPECT_EQ(json["lease_ms"], 6000);
  EXPECT_EQ(json["coordinator_silence_ms"], 50);
  EXPECT_EQ(json["paused"], true);
  EXPECT_EQ(json["databases"].size(), 3U);
  EXPECT_EQ(json["databases"][1]["members"][1]["name"], "s2");
  EXPECT_EQ(json["copies"][1]["database"], "mail");
  EXPECT_EQ(json["copies"][1]["replay_queue"], 7);
}

TEST(Dashboard, StateIsAnsweredBeforeTheRegistryWasRead) {
  test::FixedSource source;
  source.snapshot.group = nullptr;
  source.snapshot.coordinator_silence.reset();
  const Answer answer = AnswerTo({"GET", "/api/v1/state", {}}, source);
  const auto json = nlohmann::json::parse(answer.body);
  EXPECT_EQ(answer.code, 200);
  EXPECT_EQ(json["registry_read"], false);
  EXPECT_TRUE(json["coordinator_silence_ms"].is_null());
}

TEST(Dashboard, StateHasNoParameters) {
  const test::FixedSource source;
  EXPECT_EQ(AnswerTo({"GET", "/api/v1/state", {{"since", "1"}}}, source).code, 400);
  EXPECT_EQ(AnswerTo({"POST", "/api/v1/state", {}}, source).code, 405);
}

}  // namespace
}  // namespace understudy::web
