// SPDX-License-Identifier: Apache-2.0
// What is measured is told as what it means: a finding for each trouble, none for a healthy path.
#include "server/network_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::server {
namespace {

using ::testing::HasSubstr;

v1::NetworkPath Healthy() {
  v1::NetworkPath path;
  path.set_from("s1");
  path.set_to("s3");
  path.set_rtt_min_us(800);
  path.set_rtt_median_us(1'000);
  path.set_rtt_max_us(3'000);
  path.set_probes(20);
  path.set_segments(50'000);
  path.set_retransmitted(10);
  path.set_mtu(1'500);
  path.set_transfers(100);
  path.set_clock_ms(3);
  path.set_clock_error_ms(1);
  path.set_idle_survived_ms(60'000);
  path.set_keepalive_ms(2'000);
  path.set_kernel_keepalive_ms(7'200'000);
  return path;
}

v1::NetworkPath Judged(v1::NetworkPath path) {
  JudgePath({.lease = std::chrono::seconds(6), .silence_max = std::chrono::seconds(10)}, path);
  return path;
}

void ExpectOneProblem(const v1::NetworkPath& path, const std::string& what,
                      const std::string& remedy) {
  ASSERT_EQ(path.findings_size(), 1) << path.DebugString();
  EXPECT_TRUE(path.findings(0).problem());
  EXPECT_THAT(path.findings(0).what(), HasSubstr(what));
  EXPECT_THAT(path.findings(0).remedy(), HasSubstr(remedy));
}

TEST(NetworkFindings, HealthyPathHasNone) { EXPECT_EQ(Judged(Healthy()).findings_size(), 0); }

TEST(NetworkFindings, IdleLimitBelowOurPingsIsAProblem) {
  v1::NetworkPath path = Healthy();
  path.set_idle_survived_ms(1'500);
  path.set_idle_died_ms(1'700);
  ExpectOneProblem(Judged(path), "forgotten without a word after about 1.7 s",
                   "lower ship.heartbeat");
}

TEST(NetworkFindings, IdleLimitAboveOurPingsIsGoodToKnow) {
  v1::NetworkPath path = Healthy();
  path.set_idle_survived_ms(28'000);
  path.set_idle_died_ms(30'000);
  path.set_idle_reset(true);
  const v1::NetworkPath judged = Judged(path);
  ASSERT_EQ(judged.findings_size(), 1);
  EXPECT_FALSE(judged.findings(0).problem());
  EXPECT_THAT(judged.findings(0).what(), HasSubstr("are reset after about 30.0 s"));
  EXPECT_THAT(judged.findings(0).remedy(), HasSubstr("7200 s"));
}

TEST(NetworkFindings, LargeMessagesThatDoNotArrive) {
  v1::NetworkPath path = Healthy();
  path.set_large_lost(true);
  ExpectOneProblem(Judged(path), "large messages do not arrive", "fragmentation needed");
}

TEST(NetworkFindings, AbortedTransfers) {
  v1::NetworkPath path = Healthy();
  path.set_aborted(2);
  ExpectOneProblem(Judged(path), "2 of 100 transfers were aborted", "content inspection");
}

TEST(NetworkFindings, Loss) {
  v1::NetworkPath path = Healthy();
  path.set_retransmitted(2'000);
  ExpectOneProblem(Judged(path), "4.0 % of the packets", "ip -s link");
  path = Healthy();
  path.set_lost(2);
  ExpectOneProblem(Judged(path), "2 of 20 small messages", "ip -s link");
}

TEST(NetworkFindings, LeaseTooShortForTheDistance) {
  v1::NetworkPath path = Healthy();
  path.set_rtt_median_us(500'000);
  path.set_rtt_max_us(520'000);
  ExpectOneProblem(Judged(path), "a round trip takes 500 ms", "coordinator.lease to 8 s");
}

TEST(NetworkFindings, ClockOfAnother) {
  v1::NetworkPath path = Healthy();
  path.set_clock_ms(-4'200);
  ExpectOneProblem(Judged(path), "the clock of s3 is 4.2 s behind that of s1", "NTP");
  path.set_clock_error_ms(5'000);  // not known so well
  EXPECT_EQ(Judged(path).findings_size(), 0);
}

TEST(NetworkFindings, ServerThatIsNotReached) {
  v1::NetworkPath path;
  path.set_error("s3 does not answer");
  ExpectOneProblem(Judged(path), "s3 does not answer", "understudy server list");
}

}  // namespace
}  // namespace understudy::server
