// SPDX-License-Identifier: Apache-2.0
#include "web/answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "web/lag.h"
#include "web/source_fixture.h"

namespace understudy::web {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Parameters = std::multimap<std::string, std::string>;

class AnswerTest : public ::testing::Test {
 protected:
  Answer Ask(const std::string& path, const Parameters& parameters = {},
             const std::string& method = "GET") {
    return AnswerTo({method, path, parameters}, source_);
  }
  int Code(const std::string& path, const Parameters& parameters = {}) {
    return Ask(path, parameters).code;
  }
  std::string Why(const std::string& path, const Parameters& parameters = {}) {
    const auto json = nlohmann::json::parse(Ask(path, parameters).body);
    return json.value("why", json.value("error", ""));
  }

  test::FixedSource source_;
};

TEST_F(AnswerTest, OnlyTheMountedCopyIsPrimary) {
  for (const char* word : {"", "/", "/primary", "/read-write", "/leader", "/master"}) {
    EXPECT_EQ(Code(std::string("/db/orders") + word), 200) << word;
    EXPECT_EQ(Code(std::string("/db/mail") + word), 503) << word;
    EXPECT_EQ(Code(std::string("/db/parts") + word), 503) << word;
  }
  EXPECT_EQ(Why("/db/mail/primary"), "the copy of mail on s1 is passive");
  EXPECT_EQ(Why("/db/parts/primary"), "there is no copy of parts on s1");
}

TEST_F(AnswerTest, AnActiveCopyThatIsNotMountedOrHasNoAuthorityIsNotPrimary) {
  source_.orders().writable = false;
  EXPECT_EQ(Code("/db/orders/primary"), 503);
  EXPECT_NE(Why("/db/orders/primary").find("lease"), std::string::npos);
  EXPECT_EQ(Code("/db/orders/read-only"), 503);
  EXPECT_EQ(Code("/db/orders/health"), 200);
  source_.orders().state = "Failed";
  EXPECT_EQ(Why("/db/orders/primary"), "the copy of orders on s1 is not mounted: Failed");
  EXPECT_EQ(Code("/db/orders/health"), 503);
}

TEST_F(AnswerTest, APassiveCopyTakesReads) {
  for (const char* word :
       {"replica", "asynchronous", "async", "read-only", "readiness", "health"}) {
    EXPECT_EQ(Code(std::string("/db/mail/") + word), 200) << word;
  }
  EXPECT_EQ(Code("/db/orders/replica"), 503);
  EXPECT_EQ(Code("/db/orders/read-only"), 200);
  EXPECT_EQ(Code("/db/orders/readiness"), 200);
  source_.mail().readable = false;
  source_.mail().state = "Seeding";
  EXPECT_EQ(Why("/db/mail/replica"), "the copy of mail on s1 cannot be read: Seeding");
  EXPECT_EQ(Code("/db/mail/health"), 503);
}

TEST_F(AnswerTest, ASuspendedCopyTakesNoReads) {
  source_.mail().suspended = true;
  EXPECT_EQ(Why("/db/mail/replica"), "the copy of mail on s1 is suspended");
  EXPECT_EQ(Code("/db/mail/read-only"), 503);
  EXPECT_EQ(Code("/db/mail/readiness"), 503);
  EXPECT_EQ(Code("/db/mail/health"), 200);
}

TEST_F(AnswerTest, LagInCommitsCountsBothQueues) {
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "10"}}), 200);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "9"}}), 503);
  EXPECT_EQ(Code("/db/mail/readiness", {{"lag", "3"}, {"mode", "write"}}), 200);
  EXPECT_EQ(Code("/db/mail/readiness", {{"lag", "2"}, {"mode", "write"}}), 503);
  EXPECT_NE(Why("/db/mail/replica", {{"lag", "9"}}).find("10 commits behind"), std::string::npos);
  source_.mail().queues_known = false;
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "10"}}), 503);
  EXPECT_EQ(Code("/db/mail/replica"), 200);
}

TEST_F(AnswerTest, ALaggedCopyTakesReadsOnlyOfWhoSaysHowOldTheyMayBe) {
  source_.mail().replay_lag = std::chrono::hours(2);
  source_.mail().replayed_age = std::chrono::minutes(121);
  EXPECT_NE(Why("/db/mail/replica").find("with lag= only"), std::string::npos);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "2h"}}), 503);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "3h"}}), 200);
  EXPECT_EQ(Code("/db/mail/readiness"), 503);
  EXPECT_EQ(Code("/db/mail/readiness", {{"mode", "write"}}), 200);
  EXPECT_EQ(Code("/db/mail/health"), 200);
}

TEST_F(AnswerTest, LagInTimeIsTheAgeOfWhatIsSeen) {
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "1s"}}), 200);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "899ms"}}), 503);
  EXPECT_EQ(Code("/db/mail/readiness", {{"lag", "10ms"}, {"mode", "write"}}), 200);
  source_.mail().replayed_age = seconds(11);
  EXPECT_EQ(Code("/db/mail/readiness"), 503);  // 10 s are the default
  source_.mail().replayed_age.reset();
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "1h"}}), 503);
  EXPECT_EQ(Code("/db/orders/read-only", {{"lag", "1"}}), 200);  // the active is never behind
}

TEST_F(AnswerTest, WhatIsNotUnderstoodIsRefused) {
  EXPECT_EQ(Code("/db/nothing/primary"), 404);
  EXPECT_EQ(Code("/db/orders/primry"), 404);
  EXPECT_EQ(Code("/db/orders/primary/x"), 404);
  EXPECT_EQ(Code("/db"), 404);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "10MB"}}), 400);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", ""}}), 400);
  EXPECT_EQ(Code("/db/mail/replica", {{"lag", "99999999999999999999"}}), 400);
  EXPECT_EQ(Code("/db/mail/replica", {{"lagg", "1"}}), 400);
  EXPECT_EQ(Code("/db/mail/replica", {{"mode", "write"}}), 400);
  EXPECT_EQ(Code("/db/mail/readiness", {{"mode", "x"}}), 400);
  EXPECT_EQ(Code("/health", {{"lag", "1"}}), 400);
  EXPECT_EQ(Ask("/db/orders/primary", {}, "POST").code, 405);
  EXPECT_EQ(Ask("/db/orders/primary", {}, "PUT").code, 405);
}

TEST_F(AnswerTest, OptionsGetsTheCodeAlone) {
  EXPECT_EQ(Ask("/db/orders/primary", {}, "OPTIONS").code, 200);
  EXPECT_EQ(Ask("/db/mail/primary", {}, "OPTIONS").code, 503);
  EXPECT_EQ(Ask("/db/orders/primary", {}, "OPTIONS").body, "");
}

TEST_F(AnswerTest, TheServerIsAliveWhileItGoesRound) {
  EXPECT_EQ(Code("/liveness"), 200);
  EXPECT_EQ(Code("/db/mail/liveness"), 200);
  EXPECT_EQ(Code("/readiness"), 200);
  EXPECT_EQ(Code("/health"), 200);
  source_.snapshot.coordinator_silence = seconds(7);
  EXPECT_EQ(Code("/readiness"), 503);
  EXPECT_EQ(Code("/liveness"), 200);
  EXPECT_EQ(Code("/db/orders/primary"), 200);  // its authority is another matter
  source_.snapshot.round_age = kRoundAgeMax + milliseconds(1);
  EXPECT_EQ(Code("/liveness"), 503);
  EXPECT_EQ(Code("/health"), 503);
}

TEST_F(AnswerTest, HealthOfTheServerNamesWhatFailed) {
  source_.mail().state = "FailedAndSuspended";
  EXPECT_EQ(Why("/health"), "the copy of mail is FailedAndSuspended");
  source_.mail().state = "Seeding";
  EXPECT_EQ(Code("/health"), 200);
}

TEST_F(AnswerTest, BodiesTellTheGroup) {
  const auto status = nlohmann::json::parse(Ask("/db/mail/status").body);
  EXPECT_EQ(status["role"], "passive");
  EXPECT_EQ(status["active"], "s2");
  EXPECT_EQ(status["replayed_age_ms"], 900);
  const auto cluster = nlohmann::json::parse(Ask("/db/mail/cluster").body);
  EXPECT_EQ(cluster["members"].size(), 2u);
  EXPECT_EQ(cluster["members"][1]["api_url"], "http://127.0.0.1:2");
  EXPECT_EQ(cluster["members"][0]["state"], "ServiceDown");
  EXPECT_EQ(cluster["members"][0]["preference"], nullptr);
  EXPECT_EQ(cluster["members"][1]["preference"], 2);
  EXPECT_EQ(cluster["members"][1]["activation_suspended"], true);
  EXPECT_EQ(cluster["dial"], "best");
  EXPECT_EQ(cluster["dismounted"], false);
  EXPECT_EQ(cluster["paused"], true);
  EXPECT_EQ(cluster["failsafe"], false);
  const auto history = nlohmann::json::parse(Ask("/db/mail/history").body);
  EXPECT_EQ(history[0][0], 4);
  EXPECT_EQ(history[0][1], 77);
  EXPECT_EQ(history[0][4], "s2");
  const auto databases = nlohmann::json::parse(Ask("/databases").body);
  EXPECT_EQ(databases[2]["role"], nullptr);
  EXPECT_EQ(nlohmann::json::parse(Ask("/cluster").body)["databases"].size(), 3u);
}

TEST_F(AnswerTest, AServerThatNeverReadTheRegistryKnowsItsCopies) {
  source_.snapshot.group = nullptr;
  source_.snapshot.coordinator_silence.reset();
  EXPECT_EQ(Code("/db/orders/primary"), 200);
  EXPECT_EQ(Code("/db/parts/primary"), 503);
  EXPECT_EQ(Code("/readiness"), 503);
  for (const char* path : {"/cluster", "/databases", "/db/orders/cluster", "/db/orders/history"}) {
    EXPECT_EQ(Code(path), 200) << path;
  }
}

}  // namespace
}  // namespace understudy::web
