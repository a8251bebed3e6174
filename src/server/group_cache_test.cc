// SPDX-License-Identifier: Apache-2.0
#include "server/group_cache.h"

#include <gtest/gtest.h>

#include "cluster/embedded_coordinator.h"
#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

using cluster::Registry;

constexpr auto kTestLimit = std::chrono::seconds(20);

class GroupCacheTest : public ::testing::Test {
 protected:
  GroupCacheTest() {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    CHECK(coordinator.ok());
    coordinator_ = std::move(coordinator).value();
    registry_ = std::make_unique<Registry>(env_, *coordinator_);
  }
  void Announce(const std::string& name, const std::string& web) {
    cluster::ServerRecord server;
    server.name = name;
    server.web = web;
    const auto lease = coordinator_->GrantLease(std::chrono::seconds(60));
    ASSERT_TRUE(lease.ok() && registry_->AnnounceServer(server, *lease).ok());
  }
  void PublishState(const std::string& state, uint64_t seq = 0) {
    cluster::CopyStatusRecord status;
    status.database = "orders";
    status.server = "s1";
    status.state = state;
    status.durable = {base::Term(1), base::Seq(seq)};
    ASSERT_TRUE(registry_->PublishStatus({status}).ok());
  }
  void Refresh() { ASSERT_TRUE(cache_.Refresh(*registry_).ok()); }

  env::Env& env_ = env::PosixEnv();
  test::TempDir directory_;
  std::unique_ptr<cluster::EmbeddedCoordinator> coordinator_;
  std::unique_ptr<Registry> registry_;
  GroupCache cache_{env_};
};

TEST_F(GroupCacheTest, NothingIsKnownBeforeTheFirstRefresh) {
  EXPECT_EQ(cache_.Get(), nullptr);
  EXPECT_EQ(cache_.CoordinatorSilence(), std::nullopt);
  EXPECT_LT(cache_.RoundAge(), kTestLimit);
}

TEST_F(GroupCacheTest, ReadsWhatChangedAndKeepsTheRest) {
  Announce("s1", "127.0.0.1:1");
  PublishState("Mounted");
  cluster::DatabaseRecord orders;
  orders.name = "orders";
  cache_.SetDatabases({orders});
  Refresh();
  const auto first = cache_.Get();
  ASSERT_NE(first, nullptr);
  EXPECT_TRUE(cache_.CoordinatorSilence().has_value());
  ASSERT_EQ(first->servers.size(), 1u);
  EXPECT_TRUE(first->servers[0].alive);
  EXPECT_EQ(first->servers[0].web, "127.0.0.1:1");
  EXPECT_EQ(first->statuses.at(0).state, "Mounted");
  EXPECT_NE(first->FindDatabase("orders"), nullptr);

  Announce("s2", "");
  Refresh();
  EXPECT_EQ(cache_.Get(), first);  // nobody told it of a change
  cache_.Note(std::string(Registry::kServersPrefix) + "s2");
  Refresh();
  EXPECT_EQ(cache_.Get()->servers.size(), 2u);
  EXPECT_EQ(cache_.Get()->databases.size(), 1u);
  EXPECT_EQ(first->servers.size(), 1u);  // an answer under way keeps its view

  EXPECT_FALSE(cache_.Get()->paused);
  ASSERT_TRUE(registry_->UpdateGroup([](auto& group) { group.paused = true; }).ok());
  cache_.Note(Registry::kGroupKey);
  Refresh();
  EXPECT_TRUE(cache_.Get()->paused);
}

TEST_F(GroupCacheTest, PublishedStatesAreReadNowAndThen) {
  PublishState("Mounting");
  Refresh();
  PublishState("Mounted");
  cache_.Note(std::string(Registry::kStatusPrefix) + "orders/s1");
  const auto begin = env_.Now();
  while (cache_.Get()->statuses.at(0).state != "Mounted") {
    ASSERT_LT(env_.Now() - begin, kTestLimit);
    Refresh();
  }
}

TEST_F(GroupCacheTest, WhatTheActivePublishedTellsWhoIsBehind) {
  EXPECT_EQ(cache_.BehindPublished("orders", base::Seq(0)).commits, 0u);
  cluster::DatabaseRecord orders;
  orders.name = "orders";
  orders.active = "s1";
  cache_.SetDatabases({orders});
  PublishState("Mounted", 100);
  Refresh();
  EXPECT_EQ(cache_.BehindPublished("orders", base::Seq(100)).commits, 0u);
  EXPECT_EQ(cache_.BehindPublished("orders", base::Seq(100)).age, base::Duration(0));
  EXPECT_EQ(cache_.BehindPublished("orders", base::Seq(90)).commits, 10u);
  const base::Duration known = cache_.BehindPublished("orders", base::Seq(90)).age;
  EXPECT_LT(known, kTestLimit) << "since when is not known, but since it was published at least";
  PublishState("Mounted", 130);
  cache_.Note(std::string(Registry::kStatusPrefix) + "orders/s1");
  const auto begin = env_.Now();
  while (cache_.BehindPublished("orders", base::Seq(100)).commits == 0) {
    ASSERT_LT(env_.Now() - begin, kTestLimit);
    Refresh();
  }
  EXPECT_EQ(cache_.BehindPublished("orders", base::Seq(100)).commits, 30u);
  const base::Duration age = cache_.BehindPublished("orders", base::Seq(100)).age;
  EXPECT_GE(age, GroupCache::kStatusInterval);
  EXPECT_LT(age, kTestLimit);
  EXPECT_GE(cache_.BehindPublished("orders", base::Seq(90)).age, age);
}

}  // namespace
}  // namespace understudy::server
