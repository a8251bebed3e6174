// SPDX-License-Identifier: Apache-2.0
// KnownGroup and LeaseKeeper over a coordinator that comes and goes.
#include "server/known_group.h"

#include <gtest/gtest.h>

#include "cluster/embedded_coordinator.h"
#include "server/lease_keeper.h"
#include "testing/away_coordinator.h"
#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

constexpr auto kTestLimit = std::chrono::seconds(20);

class KnownGroupTest : public ::testing::Test {
 protected:
  KnownGroupTest() {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    CHECK(coordinator.ok());
    real_ = std::move(coordinator).value();
    coordinator_.emplace(*real_);
    registry_.emplace(env_, *coordinator_);
    context_.emplace(
        ServerContext{env_, settings_, *registry_, events_, authority_, promises_, "s1"});
    self_.name = "s1";
    self_.identity = "one";
    self_.address = "127.0.0.1:1";
  }
  void MakeGroup() {
    cluster::DatabaseRecord orders;
    orders.name = "orders";
    orders.active = "s1";
    orders.copies.emplace_back().server = "s1";
    ASSERT_TRUE(registry_->CreateDatabase(orders).ok());
    const auto lease = coordinator_->GrantLease(std::chrono::seconds(60));
    ASSERT_TRUE(lease.ok() && registry_->AnnounceServer(self_, *lease).ok());
    ASSERT_TRUE(registry_->SetMaintenance("s1", true).ok());
    cache_.NoteAll();
    cache_.SetDatabases(*registry_->Databases());
    ASSERT_TRUE(cache_.Refresh(*registry_).ok());
  }
  template <typename F>
  bool Becomes(const F& holds) {
    const base::SteadyTime end = env_.Now() + kTestLimit;
    rpc::Signal nobody;
    while (!holds()) {
      if (env_.Now() > end) return false;
      nobody.WaitFor(nobody.count(), std::chrono::milliseconds(5));
    }
    return true;
  }

  env::Env& env_ = env::PosixEnv();
  test::TempDir directory_;
  std::unique_ptr<cluster::EmbeddedCoordinator> real_;
  std::optional<test::AwayCoordinator> coordinator_;
  std::optional<cluster::Registry> registry_;
  Settings settings_{Config{}};
  EventLog events_{env_, "s1", std::make_shared<rpc::Signal>()};
  Authority authority_{env_, std::chrono::seconds(6)};
  Promises promises_{env_};
  std::optional<ServerContext> context_;
  GroupCache cache_{env_};
  cluster::ServerRecord self_;
};

TEST_F(KnownGroupTest, IsTheRegistryWhileTheCoordinatorAnswers) {
  MakeGroup();
  KnownGroup group(*context_, cache_);
  ASSERT_TRUE(registry_->SetMaintenance("s1", false).ok());  // what the cache does not know yet
  EXPECT_TRUE(group.Maintenance()->empty());
  EXPECT_EQ(group.FindDatabase("orders")->active, "s1");
  EXPECT_EQ(group.FindDatabase("stock").status().code(), base::Code::kNotFound);
  EXPECT_EQ(group.silence_ms(), 0);
}

TEST_F(KnownGroupTest, IsWhatWasKnownWhileItIsAway) {
  MakeGroup();
  coordinator_->SetAway(true);
  KnownGroup group(*context_, cache_);
  const int before = coordinator_->calls();
  EXPECT_EQ(group.FindDatabase("orders")->active, "s1");
  EXPECT_EQ(group.FindServer("s1")->address, "127.0.0.1:1");
  EXPECT_EQ(group.FindServer("s9").status().code(), base::Code::kNotFound);
  EXPECT_EQ(*group.Maintenance(), std::set<std::string>{"s1"});
  EXPECT_EQ(*group.Settings(), cluster::GroupSettings());
  EXPECT_TRUE(group.Statuses().ok());
  EXPECT_EQ(coordinator_->calls(), before + 1);  // the first read that got no answer was the last
  EXPECT_GT(group.silence_ms(), 0);
  EXPECT_EQ(group.away().code(), base::Code::kUnavailable);
}

TEST_F(KnownGroupTest, WhoHasNeverReadItSaysWhyThereIsNothing) {
  coordinator_->SetAway(true);
  KnownGroup group(*context_, cache_);
  EXPECT_EQ(group.Databases().status().code(), base::Code::kUnavailable);
  EXPECT_EQ(group.Settings().status().message(), "the coordinator is away");
}

TEST_F(KnownGroupTest, AuthorityComesWithReadingTheRegistryUnderTheLease) {
  LeaseKeeper keeper(*context_);
  ASSERT_TRUE(keeper.Start(self_).ok());
  const cluster::LeaseId first = keeper.lease();
  EXPECT_TRUE(registry_->FindServer("s1")->alive);
  EXPECT_FALSE(authority_.Valid());
  keeper.Read(first + 1);  // another one's
  EXPECT_FALSE(authority_.Valid());
  keeper.Read(first);
  EXPECT_TRUE(authority_.Valid());
  keeper.Stop(/*end_lease=*/true);
  EXPECT_FALSE(registry_->FindServer("s1")->alive);
}

TEST_F(KnownGroupTest, ALostLeaseTakesTheAuthorityWithIt) {
  Config config;
  config.coordinator.lease = std::chrono::milliseconds(300);
  settings_.Replace(config);
  LeaseKeeper keeper(*context_);
  ASSERT_TRUE(keeper.Start(self_).ok());
  const cluster::LeaseId first = keeper.lease();
  keeper.Read(first);
  ASSERT_TRUE(real_->RevokeLease(first).ok());
  ASSERT_TRUE(Becomes([&] { return keeper.lease() != first && keeper.lease() != 0; }));
  ASSERT_TRUE(Becomes([&] { return registry_->FindServer("s1")->alive; }));
  keeper.Read(first);  // what was read before the loss says nothing
  EXPECT_FALSE(authority_.Valid());
  ASSERT_TRUE(Becomes([&] {
    keeper.Read(keeper.lease());
    return authority_.Valid();
  }));
  keeper.Stop(/*end_lease=*/true);
}

TEST_F(KnownGroupTest, TheLeaseIsKeptThroughAShortAbsence) {
  Config config;
  config.coordinator.lease = std::chrono::seconds(2);
  settings_.Replace(config);
  LeaseKeeper keeper(*context_);
  ASSERT_TRUE(keeper.Start(self_).ok());
  const cluster::LeaseId first = keeper.lease();
  keeper.Read(first);
  coordinator_->SetAway(true);
  const int before = coordinator_->calls();
  ASSERT_TRUE(Becomes([&] { return coordinator_->calls() > before + 1; }));  // it tries, again
  coordinator_->SetAway(false);
  const base::SteadyTime until = authority_.lease_until();
  ASSERT_TRUE(Becomes([&] { return authority_.lease_until() > until; }));
  EXPECT_EQ(keeper.lease(), first);
  keeper.Stop(/*end_lease=*/true);
}

}  // namespace
}  // namespace understudy::server
