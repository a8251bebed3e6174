// SPDX-License-Identifier: Apache-2.0
// How long leases last at a real etcd that elects leaders, or is away, meanwhile (lease_marks.h).
#include <gtest/gtest.h>

#include "etcd/etcd_fixture.h"

namespace understudy::etcd {
namespace {

using cluster::Operation;
using std::chrono::milliseconds;
using std::chrono::seconds;

test::EtcdCluster::Options Quick(int members) {
  test::EtcdCluster::Options options;
  options.members = members;
  options.arguments = {"--heartbeat-interval", "50", "--election-timeout", "500"};
  return options;
}

EtcdOptions Impatient(const test::EtcdCluster& cluster) {
  EtcdOptions options = OptionsOf(cluster);
  options.call_limit = seconds(1);
  return options;
}

class EtcdLease : public testing::Test {
 protected:
  // Gives `key` a lease of its own, in the name of a holder that may not renew it.
  void Hold(cluster::Coordinator& holder, base::Duration ttl) {
    begin_ = std::chrono::steady_clock::now();
    const auto lease = holder.GrantLease(ttl);
    ASSERT_TRUE(lease.ok()) << lease.status().ToString();
    lease_ = *lease;
    ASSERT_TRUE(holder.Txn({}, {Operation::Put("alive", "s1", lease_)}).ok());
    const auto now = holder.CurrentRevision();
    ASSERT_TRUE(now.ok());
    seen_ = *now;
  }
  void Poll(cluster::Coordinator& other) {
    const auto changes = other.ChangesSince(seen_);
    if (!changes.ok()) return;
    seen_ = changes->revision;
    for (const cluster::Change& change : changes->changes) {
      EXPECT_EQ(change.key.substr(0, 7) == "renewed", false) << "a mark was told";
      if (change.key == "alive" && !change.value) gone_ = true;
    }
  }
  base::Duration Passed() const { return std::chrono::steady_clock::now() - begin_; }

  base::SteadyTime begin_;
  cluster::LeaseId lease_ = 0;
  cluster::Revision seen_ = 0;
  bool gone_ = false;
};

// etcd alone would keep it for all of its time after each election.
TEST_F(EtcdLease, ElectionsOfEtcdDoNotMakeItLonger) {
  constexpr base::Duration kTtl = seconds(8);
  test::EtcdCluster cluster(Quick(3));
  const auto holder = OpenReady(OptionsOf(cluster));
  const auto other = OpenReady(Impatient(cluster));
  ASSERT_NO_FATAL_FAILURE(Hold(*holder, kTtl));
  ASSERT_TRUE(Until([&] {
    Poll(*other);
    return Passed() > seconds(3);
  }));
  for (size_t member = 0; member < 3; ++member) {  // one of them leads
    cluster.Kill(member);
    ASSERT_TRUE(Until([&] { return other->CurrentRevision().ok(); }));
    cluster.Start(member);
  }
  ASSERT_TRUE(Until([&] {
    Poll(*other);
    return gone_;
  }));
  EXPECT_GE(Passed(), kTtl);
  EXPECT_LT(Passed(), seconds(3) + kTtl) << "as long as etcd alone would keep it";
  EXPECT_EQ(holder->KeepAlive(lease_).code(), base::Code::kNotFound);
}

TEST_F(EtcdLease, SurvivesAnEtcdThatWasAwayForLonger) {
  constexpr base::Duration kTtl = seconds(2);
  test::EtcdCluster cluster(Quick(1));
  const auto holder = OpenReady(Impatient(cluster));
  const auto other = OpenReady(Impatient(cluster));
  ASSERT_NO_FATAL_FAILURE(Hold(*holder, kTtl));
  Poll(*other);
  ASSERT_TRUE(holder->KeepAlive(lease_).ok());
  cluster.Kill(0);
  LetPass(kTtl + milliseconds(500));
  cluster.Start(0);
  const auto back = std::chrono::steady_clock::now();
  // The other one hears of etcd first, and asks for most of the grace.
  ASSERT_TRUE(Until([&] {
    Poll(*other);
    return std::chrono::steady_clock::now() - back > milliseconds(500);
  }));
  base::Status kept;
  ASSERT_TRUE(Until([&] {
    kept = holder->KeepAlive(lease_);
    return kept.code() != base::Code::kUnavailable;
  }));
  EXPECT_TRUE(kept.ok()) << kept.ToString();
  Poll(*other);
  EXPECT_FALSE(gone_);
}

TEST_F(EtcdLease, EndsForAServerThatCameLater) {
  constexpr base::Duration kTtl = seconds(2);
  test::EtcdCluster cluster(Quick(1));
  const auto holder = OpenReady(OptionsOf(cluster));
  ASSERT_NO_FATAL_FAILURE(Hold(*holder, kTtl));
  const auto late = OpenReady(OptionsOf(cluster));  // it finds the mark by listing
  ASSERT_TRUE(Until([&] {
    Poll(*late);
    return gone_;
  }));
  EXPECT_GE(Passed(), kTtl);
  EXPECT_TRUE(late->List("")->empty()) << "a mark is left, or is told";
}

}  // namespace
}  // namespace understudy::etcd
