// SPDX-License-Identifier: Apache-2.0
// The gate opens to tokens that count, and to nobody by an accident.
#include "web/gate.h"

#include <gtest/gtest.h>

#include "testing/mem_env.h"
#include "tls/certificate.h"

namespace understudy::web {
namespace {

constexpr const char* kPath = "/d/.web_tokens";

class GateTest : public ::testing::Test {
 protected:
  GateTest() { EXPECT_TRUE(env_.MakeDirectories("/d").ok()); }
  void Write(const std::string& text) {
    ASSERT_TRUE(env::WriteFileAtomically(env_, kPath, base::AsBytes(text)).ok());
    env_.clock().Advance(Gate::kFileAge);
  }
  static std::string Line(const std::string& token, const std::string& more = "") {
    return "prometheus " + tls::Sha256Hex(token) + more + "\n";
  }

  understudy::test::MemEnv env_;
  Gate gate_{env_, kPath};
};

TEST_F(GateTest, WithoutAFileItIsOpen) {
  EXPECT_TRUE(gate_.Open().ok());
  EXPECT_EQ(gate_.Refusal(""), "");
  EXPECT_EQ(gate_.Refusal("Bearer x"), "");
}

TEST_F(GateTest, ATokenOfTheFileOpensIt) {
  Write("# ours\n\n" + Line("right"));
  ASSERT_TRUE(gate_.Open().ok());
  EXPECT_EQ(gate_.Refusal("Bearer right"), "");
  EXPECT_EQ(gate_.Refusal("bearer right"), "");
  EXPECT_EQ(gate_.Refusal("Basic YW5uOnJpZ2h0"), "");  // ann:right
  EXPECT_EQ(gate_.Refusal("Basic OnJpZ2h0"), "");      // :right
  for (const char* other : {"", "right", "Bearer", "Bearer ", "Bearer wrong", "Basic right",
                            "Basic", "Basic !", "Basic cmlnaHQ=", "Digest right"}) {
    EXPECT_NE(gate_.Refusal(other), "") << other;
  }
  // The hash is no token.
  EXPECT_NE(gate_.Refusal("Bearer " + tls::Sha256Hex("right")), "");
}

TEST_F(GateTest, AnExpiredTokenSaysSo) {
  Write(Line("old", " 2026-01-01T00:00:00Z"));
  const auto at = base::FromRfc3339("2026-01-01T00:00:00Z").value();
  const std::string refusal = gate_.Refusal("Bearer old");
  EXPECT_EQ(refusal.empty(), env_.WallNow() < at) << refusal;
  env_.clock().Advance(std::chrono::hours(24 * 365 * 60));
  EXPECT_NE(gate_.Refusal("Bearer old").find("prometheus expired at 2026-01-01"),
            std::string::npos);
}

TEST_F(GateTest, ATokenThatIsTakenAwayCountsNoMore) {
  Write(Line("a") + Line("b"));
  EXPECT_EQ(gate_.Refusal("Bearer b"), "");
  Write(Line("a"));
  EXPECT_EQ(gate_.Refusal("Bearer a"), "");
  EXPECT_NE(gate_.Refusal("Bearer b"), "");
}

TEST_F(GateTest, ItDoesNotOpenWhenTheFileIsBrokenOrGone) {
  Write(Line("a"));
  EXPECT_EQ(gate_.Refusal("Bearer a"), "");
  for (const std::string& broken :
       {std::string("prometheus\n"), std::string("x y\n"), Line("a", " soon"),
        Line("a", " 2027-01-01T00:00:00Z more"), std::string(Gate::kFileBytesMax + 1, '#')}) {
    Write(broken);
    EXPECT_NE(gate_.Refusal("Bearer a"), "") << broken.substr(0, 80);
    EXPECT_NE(gate_.Refusal(""), "");
    EXPECT_FALSE(Gate(env_, kPath).Open().ok());
  }
  ASSERT_TRUE(env_.Remove(kPath).ok());
  env_.clock().Advance(Gate::kFileAge);
  EXPECT_NE(gate_.Refusal(""), "");
  Write(Line("a"));
  EXPECT_EQ(gate_.Refusal("Bearer a"), "");
}

TEST_F(GateTest, AFileThatAppearsClosesIt) {
  EXPECT_TRUE(gate_.Open().ok());
  Write("# nobody\n");
  EXPECT_NE(gate_.Refusal(""), "");
}

TEST(GatePaths, HealthIsForEverybodyAndNothingElse) {
  for (const char* path : {"/health", "/readiness", "/liveness/", "/db/orders", "/db/orders/",
                           "/db/orders/primary", "/db/orders/replica", "/db/orders/readiness"}) {
    EXPECT_TRUE(IsHealthPath(path)) << path;
  }
  for (const char* path :
       {"/", "", "/metrics", "/cluster", "/databases", "/db", "/db/orders/status",
        "/db/orders/cluster", "/db/orders/history", "/api/v1/state", "/dashboard/main.js",
        "/db/a/primary/b", "/health/x", "//metrics"}) {
    EXPECT_FALSE(IsHealthPath(path)) << path;
  }
}

TEST(GatePaths, StrangersHearWhetherAndWhy) {
  EXPECT_EQ(HealthOnly(R"({"answer":"no","why":"it is passive","path":"/secret","copies":[1]})"),
            R"({"answer":"no","why":"it is passive"})");
  EXPECT_EQ(HealthOnly("no json"), "{}");
  EXPECT_EQ(HealthOnly(""), "{}");
}

}  // namespace
}  // namespace understudy::web
