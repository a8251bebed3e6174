// SPDX-License-Identifier: Apache-2.0
// What the coordinator does when members of a real etcd die, stall or lose their majority.
#include <gtest/gtest.h>

#include <csignal>

#include "etcd/etcd_fixture.h"

namespace understudy::etcd {
namespace {

using cluster::Changes;
using cluster::Operation;
using std::chrono::milliseconds;

// What a busy machine may add to a limit.
constexpr base::Duration kSlack = std::chrono::seconds(2);
constexpr base::Duration kCallAndSlack = kCallLimit + kSlack;

test::EtcdCluster::Options Members(int count) {
  test::EtcdCluster::Options options;
  options.members = count;
  return options;
}

// How long `call` took.
base::Duration TimeOf(const std::function<void()>& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::steady_clock::now() - begin;
}

// Writes until it is known to have been done, as after an election.
void PutSurely(cluster::Coordinator& coordinator, const std::string& key,
               const std::string& value) {
  base::Status status;
  ASSERT_TRUE(Until([&] {
    status = Put(coordinator, key, value).status();
    return status.ok();
  })) << status.ToString();
}

// Collects what changed after `seen` until the last value is `wanted`.
bool HearsUpTo(cluster::Coordinator& coordinator, cluster::Revision& seen,
               const std::string& wanted) {
  return Until([&] {
    const base::Result<Changes> changes = coordinator.ChangesSince(seen);
    if (!changes.ok()) return false;
    EXPECT_TRUE(changes->complete);
    seen = changes->revision;
    return !changes->changes.empty() && changes->changes.back().value == wanted;
  });
}

TEST(EtcdFailover, GoesOnWhenTheMemberItTalksToIsKilled) {
  test::EtcdCluster cluster(Members(3));
  const auto coordinator = OpenReady(OptionsOf(cluster));
  const auto lease = coordinator->GrantLease(std::chrono::seconds(20));
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  const auto start = Put(*coordinator, "a", "1");
  ASSERT_TRUE(start.ok());
  cluster::Revision seen = start->revision;
  ASSERT_TRUE(coordinator->ChangesSince(seen).ok());

  cluster.Kill(0);
  PutSurely(*coordinator, "a", "2");
  EXPECT_EQ(ValueOf(*coordinator, "a"), "2");
  EXPECT_TRUE(coordinator->KeepAlive(*lease).ok());
  EXPECT_TRUE(HearsUpTo(*coordinator, seen, "2"));

  cluster.Start(0);
  cluster.Kill(1);
  PutSurely(*coordinator, "a", "3");
  EXPECT_TRUE(HearsUpTo(*coordinator, seen, "3"));
}

TEST(EtcdFailover, LeavesAStalledMemberForGood) {
  test::EtcdCluster cluster(Members(3));
  const auto coordinator = OpenReady(OptionsOf(cluster));
  EtcdOptions others = OptionsOf(cluster);
  others.endpoints = {cluster.endpoint(1), cluster.endpoint(2)};
  const auto writer = OpenReady(others);
  const auto start = Put(*coordinator, "a", "1");
  ASSERT_TRUE(start.ok());
  cluster::Revision seen = start->revision;
  ASSERT_TRUE(coordinator->ChangesSince(seen).ok());

  cluster.Signal(0, SIGSTOP);    // it accepts what is sent, and never answers
  PutSurely(*writer, "a", "2");  // there is a leader among the others
  std::string value;
  EXPECT_LT(TimeOf([&] { value = ValueOf(*coordinator, "a"); }), kCallAndSlack);
  EXPECT_EQ(value, "2");
  EXPECT_LT(TimeOf([&] { value = ValueOf(*coordinator, "a"); }), kAttemptLimit)
      << "it asked the stalled one again";
  EXPECT_TRUE(HearsUpTo(*coordinator, seen, "2")) << "the watch stayed with the stalled one";
  cluster.Signal(0, SIGCONT);
}

TEST(EtcdFailover, ATransactionOfUnknownOutcomeIsNotSentAgain) {
  test::EtcdCluster cluster(Members(3));
  const auto coordinator = OpenReady(OptionsOf(cluster));
  EtcdOptions others = OptionsOf(cluster);
  others.endpoints = {cluster.endpoint(1), cluster.endpoint(2)};
  const auto writer = OpenReady(others);
  ASSERT_TRUE(Put(*coordinator, "counter", "0").ok());

  cluster.Signal(0, SIGSTOP);
  PutSurely(*writer, "other", "1");
  base::Status status;
  EXPECT_LT(TimeOf([&] { status = Put(*coordinator, "counter", "1").status(); }), kCallAndSlack);
  EXPECT_EQ(status.code(), base::Code::kUnavailable);
  EXPECT_NE(status.message().find("may have been carried out"), std::string::npos)
      << status.message();
  EXPECT_NE(status.message().find(cluster.endpoint(0)), std::string::npos) << status.message();
  // It reached nobody but the stalled member, which sends it on when it wakes up, or never.
  EXPECT_EQ(ValueOf(*coordinator, "counter"), "0");
  EXPECT_TRUE(Put(*coordinator, "other", "2").ok()) << "the next call goes to another member";
  cluster.Signal(0, SIGCONT);
}

TEST(EtcdFailover, ATransactionThatWasNotSentGoesToAnother) {
  test::EtcdCluster cluster(Members(3));
  PutSurely(*OpenReady(OptionsOf(cluster)), "a", "1");
  cluster.Kill(0);
  EtcdOptions others = OptionsOf(cluster);
  others.endpoints = {cluster.endpoint(1), cluster.endpoint(2)};
  PutSurely(*OpenReady(others), "a", "2");  // the others have a leader
  const auto coordinator = EtcdCoordinator::Open(OptionsOf(cluster));
  ASSERT_TRUE(coordinator.ok()) << coordinator.status().ToString();
  const auto written = Put(**coordinator, "a", "3");
  EXPECT_TRUE(written.ok()) << written.status().ToString();
}

TEST(EtcdFailover, WithoutAMajorityEverythingIsUnavailableInTime) {
  test::EtcdCluster cluster(Members(3));
  const auto coordinator = OpenReady(OptionsOf(cluster));
  const auto lease = coordinator->GrantLease(std::chrono::seconds(20));
  ASSERT_TRUE(lease.ok());
  ASSERT_TRUE(Put(*coordinator, "a", "1").ok());
  cluster.Kill(1);
  cluster.Kill(2);
  base::Status status;
  EXPECT_LT(TimeOf([&] { status = coordinator->Get("a").status(); }), kCallAndSlack);
  EXPECT_EQ(status.code(), base::Code::kUnavailable) << "a read that may be old";
  EXPECT_LT(TimeOf([&] { status = Put(*coordinator, "a", "2").status(); }), kCallAndSlack);
  EXPECT_EQ(status.code(), base::Code::kUnavailable);
  EXPECT_LT(TimeOf([&] { status = coordinator->KeepAlive(*lease); }), kCallAndSlack);
  EXPECT_EQ(status.code(), base::Code::kUnavailable);
  cluster.Start(1);
  PutSurely(*coordinator, "a", "3");
}

TEST(EtcdFailover, EtcdThatIsGoneIsUnavailableInTimeAndMayComeBack) {
  test::EtcdCluster cluster;
  EtcdOptions options = OptionsOf(cluster);
  options.call_limit = std::chrono::seconds(1);  // there are many calls
  const base::Duration limit = options.call_limit + kSlack;
  const auto coordinator = OpenReady(options);
  const auto start = Put(*coordinator, "a", "1");
  ASSERT_TRUE(start.ok());
  cluster::Revision seen = start->revision;
  ASSERT_TRUE(coordinator->ChangesSince(seen).ok());
  cluster.Kill(0);
  const std::vector<std::function<base::Status()>> calls = {
      [&] { return coordinator->Get("a").status(); },
      [&] { return coordinator->List("").status(); },
      [&] { return Put(*coordinator, "a", "2").status(); },
      [&] { return coordinator->GrantLease(std::chrono::seconds(2)).status(); },
      [&] { return coordinator->KeepAlive(7); },
      [&] { return coordinator->RevokeLease(7); },
      [&] { return coordinator->CurrentRevision().status(); },
      [&] { return coordinator->ChangesSince(seen).status(); }};
  for (size_t i = 0; i < calls.size(); ++i) {
    base::Status status;
    EXPECT_LT(TimeOf([&] { status = calls[i](); }), limit) << i;
    EXPECT_EQ(status.code(), base::Code::kUnavailable) << i << ": " << status.ToString();
    EXPECT_NE(status.message().find("coordinator.endpoints"), std::string::npos)
        << i << ": " << status.message();
  }
  cluster.Start(0);
  PutSurely(*coordinator, "a", "3");
  EXPECT_TRUE(HearsUpTo(*coordinator, seen, "3"));
}

TEST(EtcdFailover, AnEndpointWithoutEtcdIsNamedWithTheReason) {
  EtcdOptions options;
  options.endpoints = {"127.0.0.1:1"};
  options.call_limit = milliseconds(500);
  const auto opened = EtcdCoordinator::Open(options);
  EXPECT_EQ(opened.status().code(), base::Code::kUnavailable);
  const std::string message = opened.status().message();
  for (const char* part : {"127.0.0.1:1", "500 ms", "refused", "coordinator.endpoints"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace understudy::etcd
