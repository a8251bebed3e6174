// SPDX-License-Identifier: Apache-2.0
// The coordinator's contract against a real etcd, and what etcd alone can do: forget old changes,
// hold several groups.
#include "etcd/etcd_coordinator.h"

#include <gtest/gtest.h>

#include <atomic>

#include "etcd/etcd_client.h"
#include "etcd/etcd_fixture.h"
#include "testing/coordinator_contract.h"

namespace understudy::etcd {
namespace {

using cluster::Operation;

// Quick elections, so that etcd grants leases of a second.
test::EtcdCluster::Options Quick() {
  test::EtcdCluster::Options options;
  options.arguments = {"--heartbeat-interval", "50", "--election-timeout", "500"};
  return options;
}

class EtcdHarness {
 public:
  static constexpr base::Duration kTtl = std::chrono::seconds(2);

  cluster::Coordinator& first() { return *first_; }
  cluster::Coordinator& second() { return *second_; }
  base::SteadyTime Now() { return std::chrono::steady_clock::now(); }
  void LetPass(base::Duration time) { etcd::LetPass(time); }

 private:
  test::EtcdCluster cluster_{Quick()};
  std::unique_ptr<EtcdCoordinator> first_ = OpenReady(OptionsOf(cluster_));
  std::unique_ptr<EtcdCoordinator> second_ = OpenReady(OptionsOf(cluster_));
};

}  // namespace
}  // namespace understudy::etcd

namespace understudy::test {
INSTANTIATE_TYPED_TEST_SUITE_P(Etcd, CoordinatorContract, etcd::EtcdHarness);
}  // namespace understudy::test

namespace understudy::etcd {
namespace {

void Compact(const EtcdOptions& options, cluster::Revision revision) {
  EtcdClient client(options);
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  request.set_physical(true);
  etcdserverpb::CompactionResponse response;
  const base::Status status = client.Repeat(
      "a compaction", [&](grpc::ClientContext& context, const EtcdClient::Endpoint& endpoint) {
        return endpoint.kv->Compact(&context, request, &response);
      });
  ASSERT_TRUE(status.ok()) << status.ToString();
}

TEST(EtcdCoordinator, AChangeWakesThePoller) {
  const test::EtcdCluster cluster;
  const auto writer = OpenReady(OptionsOf(cluster));
  const auto reader = OpenReady(OptionsOf(cluster));
  std::atomic<int> calls = 0;
  const auto start = Put(*writer, "a", "1");
  ASSERT_TRUE(start.ok());
  reader->SetWakeup([&calls] { calls.fetch_add(1); });
  ASSERT_TRUE(reader->ChangesSince(start->revision).ok());
  ASSERT_TRUE(Put(*writer, "a", "2").ok());
  ASSERT_TRUE(Until([&] { return calls.load() == 1; }));
  EXPECT_EQ(reader->ChangesSince(start->revision)->changes.size(), 1u);
}

TEST(EtcdCoordinator, GroupsOfOneEtcdDoNotSeeEachOther) {
  const test::EtcdCluster cluster;
  EtcdOptions options = OptionsOf(cluster);
  const auto mine = OpenReady(options);
  options.group = "test2";
  const auto other = OpenReady(options);
  const auto start = Put(*mine, "a", "1");
  ASSERT_TRUE(start.ok());
  ASSERT_TRUE(mine->ChangesSince(start->revision).ok());
  ASSERT_TRUE(Put(*other, "a", "2").ok());
  EXPECT_EQ(ValueOf(*mine, "a"), "1");
  EXPECT_EQ(mine->List("")->size(), 1u);
  // A change of our own after the other's: had theirs been told, it would be there by now.
  ASSERT_TRUE(Put(*mine, "b", "1").ok());
  base::Result<cluster::Changes> changes = cluster::Changes();
  ASSERT_TRUE(Until([&] {
    changes = mine->ChangesSince(start->revision);
    return changes.ok() && !changes->changes.empty();
  }));
  ASSERT_EQ(changes->changes.size(), 1u);
  EXPECT_EQ(changes->changes[0].key, "b");
}

TEST(EtcdCoordinator, ChangesThatEtcdHasForgottenAreIncomplete) {
  const test::EtcdCluster cluster;
  const EtcdOptions options = OptionsOf(cluster);
  const auto writer = OpenReady(options);
  const auto start = Put(*writer, "a", "1");
  ASSERT_TRUE(start.ok());
  ASSERT_TRUE(Put(*writer, "a", "2").ok());
  const auto last = Put(*writer, "a", "3");
  ASSERT_TRUE(last.ok());
  Compact(options, last->revision);
  const auto reader = OpenReady(options);  // its first watch begins in what is gone
  base::Result<cluster::Changes> changes = cluster::Changes();
  ASSERT_TRUE(Until([&] {
    changes = reader->ChangesSince(start->revision);
    return changes.ok() && !changes->complete;
  }));
  EXPECT_TRUE(changes->changes.empty());
  // From there on it is complete again.
  ASSERT_TRUE(Put(*writer, "a", "4").ok());
  const cluster::Revision from = changes->revision;
  ASSERT_TRUE(Until([&] {
    changes = reader->ChangesSince(from);
    return changes.ok() && !changes->changes.empty();
  }));
  EXPECT_TRUE(changes->complete);
  EXPECT_EQ(changes->changes.back().value, "4");
}

TEST(EtcdCoordinator, ACompactionDuringALostWatchIsToldAsAHole) {
  test::EtcdCluster::Options three;
  three.members = 3;
  test::EtcdCluster cluster(three);
  EtcdOptions at_first = OptionsOf(cluster);
  at_first.endpoints = {cluster.endpoint(0)};
  EtcdOptions at_others = OptionsOf(cluster);
  at_others.endpoints = {cluster.endpoint(1), cluster.endpoint(2)};
  const auto writer = OpenReady(at_others);
  const auto reader = OpenReady(at_first);
  const auto start = Put(*writer, "a", "1");
  ASSERT_TRUE(start.ok());
  ASSERT_TRUE(reader->ChangesSince(start->revision).ok());

  cluster.Kill(0);  // the reader's only endpoint
  base::Result<cluster::TxnResult> last = base::Internal("not written yet");
  for (int i = 2; i < 6; ++i) {
    ASSERT_TRUE(Until([&] {  // the killed one may have been the leader
      last = Put(*writer, "a", std::to_string(i));
      return last.ok();
    })) << last.status().ToString();
  }
  Compact(at_others, last->revision);
  cluster.Start(0);
  base::Result<cluster::Changes> changes = cluster::Changes();
  ASSERT_TRUE(Until([&] {
    changes = reader->ChangesSince(start->revision);
    return changes.ok() && (!changes->complete || !changes->changes.empty());
  })) << changes.status().ToString();
  EXPECT_FALSE(changes->complete);
  EXPECT_EQ(ValueOf(*reader, "a"), "5");
}

TEST(EtcdCoordinator, NoEndpointIsRefusedBySetting) {
  const auto opened = EtcdCoordinator::Open({});
  EXPECT_EQ(opened.status().code(), base::Code::kInvalidArgument);
  EXPECT_NE(opened.status().message().find("coordinator.endpoints"), std::string::npos);
}

}  // namespace
}  // namespace understudy::etcd
