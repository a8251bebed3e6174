// SPDX-License-Identifier: Apache-2.0
#include "cluster/registry.h"

#include <gtest/gtest.h>

#include <memory>

#include "cluster/embedded_coordinator.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::cluster {
namespace {

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    auto opened = EmbeddedCoordinator::Open(env_, directory_.File("group.db"));
    CHECK(opened.ok());
    coordinator_ = std::move(opened).value();
    registry_ = std::make_unique<Registry>(env_, *coordinator_);
  }

  static ServerRecord Server(const std::string& address, const std::string& identity) {
    ServerRecord record;
    record.name = "s1";
    record.address = address;
    record.identity = identity;
    return record;
  }

  static DatabaseRecord Orders() {
    DatabaseRecord record;
    record.name = "orders";
    record.id.bytes[0] = 7;
    record.active = "s1";
    record.copies = {{"s1", "/data/orders.db", false, ""},
                     {"s2", "/var/lib/orders.db", true, "disk \"full\" \xff"}};
    record.copies[0].replay_lag = std::chrono::hours(2);
    return record;
  }

  test::TempDir directory_;
  test::MemEnv env_;
  std::unique_ptr<EmbeddedCoordinator> coordinator_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, DatabaseRecordComesBackAsItWas) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  const auto found = registry_->FindDatabase("orders");
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(found->id, Orders().id);
  EXPECT_EQ(found->active, "s1");
  ASSERT_EQ(found->copies.size(), 2u);
  EXPECT_EQ(found->copies[0], Orders().copies[0]);
  EXPECT_TRUE(found->copies[1].suspended);
}

BackedUp Backup(const std::string& id, uint64_t term, uint64_t seq) {
  return {id, "full", {base::Term(term), base::Seq(seq)}, base::WallTime{1000}};
}

TEST_F(RegistryTest, TheNewestBackupIsKept) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  const base::DatabaseId id = Orders().id;
  EXPECT_TRUE(registry_->FindDatabase("orders")->circular_logging);
  EXPECT_EQ(registry_->FindDatabase("orders")->archive_interval, base::Duration(0));
  const auto edit = [](DatabaseRecord& record) {
    record.archive_interval = std::chrono::seconds(10);
    return base::Status();
  };
  ASSERT_TRUE(registry_->UpdateDatabase("orders", edit).ok());
  EXPECT_EQ(registry_->FindDatabase("orders")->archive_interval, std::chrono::seconds(10));
  ASSERT_TRUE(registry_->NoteBackedUp("orders", id, Backup("b1", 1, 100)).ok());
  ASSERT_TRUE(registry_->NoteBackedUp("orders", id, Backup("b0", 1, 50)).ok());
  EXPECT_EQ(registry_->FindDatabase("orders")->backed_up, Backup("b1", 1, 100));
  EXPECT_EQ(registry_->NoteBackedUp("orders", base::DatabaseId(), Backup("b2", 2, 200)).code(),
            base::Code::kNotFound);
}

TEST(DatabaseRecord, ABackupCountsAsFarAsTheHistoryHasIt) {
  DatabaseRecord record;
  EXPECT_EQ(record.BackedUpTo(), base::Seq(0));
  record.backed_up = Backup("b1", 2, 100);
  EXPECT_EQ(record.BackedUpTo(), base::Seq(100));
  TermStart start;
  start.term = base::Term(2);
  start.after = {base::Term(1), base::Seq(10)};
  record.history.push_back(start);
  start.term = base::Term(3);
  start.after = {base::Term(2), base::Seq(150)};
  record.history.push_back(start);
  EXPECT_EQ(record.BackedUpTo(), base::Seq(100));
  record.history.back().after.seq = base::Seq(80);  // a failover that lost 81 to 100
  EXPECT_EQ(record.BackedUpTo(), base::Seq(80));
}

TEST_F(RegistryTest, ASecondDatabaseOfTheNameIsRefused) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  EXPECT_EQ(registry_->CreateDatabase(Orders()).code(), base::Code::kAlreadyExists);
}

TEST_F(RegistryTest, UnknownDatabaseIsRefusedWithTheKnownNames) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  const base::Status status = registry_->FindDatabase("ordres").status();
  EXPECT_EQ(status.code(), base::Code::kNotFound);
  EXPECT_NE(status.message().find("known are orders"), std::string::npos);
}

TEST_F(RegistryTest, EveryTermIsGivenOnce) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  for (uint64_t term = 1; term <= 3; ++term) {
    const auto taken = registry_->TakeTerm({"orders", Orders().id, "s1", {}});
    ASSERT_TRUE(taken.ok());
    EXPECT_EQ(taken->term, base::Term(term));
  }
}

TEST_F(RegistryTest, OnlyTheActiveServerGetsATerm) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  EXPECT_EQ(registry_->TakeTerm({"orders", Orders().id, "s2", {}}).status().code(),
            base::Code::kFenced);
  EXPECT_EQ(registry_->TakeTerm({"orders", base::DatabaseId{}, "s1", {}}).status().code(),
            base::Code::kFenced);
}

TEST_F(RegistryTest, RemovingADatabaseForgetsItsCopiesStatus) {
  ASSERT_TRUE(registry_->CreateDatabase(Orders()).ok());
  CopyStatusRecord status;
  status.database = "orders";
  status.server = "s2";
  status.state = "Healthy";
  status.replayed = {base::Term(1), base::Seq(9)};
  ASSERT_TRUE(registry_->PublishStatus({status}).ok());
  const auto before = registry_->Statuses();
  ASSERT_TRUE(before.ok());
  ASSERT_EQ(before->size(), 1u);
  EXPECT_EQ((*before)[0].replayed.seq, base::Seq(9));
  ASSERT_TRUE(registry_->RemoveDatabase("orders").ok());
  EXPECT_TRUE(registry_->Statuses()->empty());
  EXPECT_EQ(registry_->RemoveDatabase("orders").code(), base::Code::kNotFound);
}

TEST_F(RegistryTest, AServerIsAliveForItsLease) {
  const auto lease = coordinator_->GrantLease(kServerLeaseDefault);
  ASSERT_TRUE(lease.ok());
  ASSERT_TRUE(registry_->AnnounceServer(Server("127.0.0.1:1", "a"), *lease).ok());
  EXPECT_TRUE(registry_->FindServer("s1")->alive);
  env_.clock().Advance(kServerLeaseDefault + std::chrono::seconds(1));
  const auto server = registry_->FindServer("s1");
  ASSERT_TRUE(server.ok());
  EXPECT_FALSE(server->alive);
  EXPECT_EQ(server->address, "127.0.0.1:1");
}

TEST_F(RegistryTest, TwoServersCannotShareANameButARestartedOneKeepsIt) {
  const auto one = coordinator_->GrantLease(kServerLeaseDefault);
  const auto two = coordinator_->GrantLease(kServerLeaseDefault);
  ASSERT_TRUE(one.ok() && two.ok());
  ASSERT_TRUE(registry_->AnnounceServer(Server("127.0.0.1:1", "a"), *one).ok());
  const base::Status other = registry_->AnnounceServer(Server("127.0.0.1:2", "b"), *two);
  EXPECT_EQ(other.code(), base::Code::kAlreadyExists);
  EXPECT_TRUE(registry_->AnnounceServer(Server("127.0.0.1:2", "a"), *two).ok());
}

TEST_F(RegistryTest, EventsAreNumberedAndTheOldestForgotten) {
  Event event;
  event.message = "something happened";
  for (const size_t together : {1, 3, 1}) {
    std::vector<Event> added(together, event);
    ASSERT_TRUE(registry_->AddEvents(added).ok());
    EXPECT_EQ(added[0].id + together, added.back().id + 1);
  }
  const auto events = registry_->Events(2, 2);
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].id, 4u);
  EXPECT_EQ((*events)[1].message, "something happened");
}

TEST_F(RegistryTest, AsManyEventsAsAreAllowedFitIntoOneCall) {
  Event event;
  event.message = std::string(kEventMessageBytesMax - 1, 'x') + "ßß";
  for (int i = 0; i < 2; ++i) {
    std::vector<Event> added(kEventsPerCallMax, event);
    ASSERT_TRUE(registry_->AddEvents(added).ok());
  }
  const auto events = registry_->Events(0);
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2 * kEventsPerCallMax);
  EXPECT_EQ(events->back().id, 2 * kEventsPerCallMax);
  EXPECT_EQ(events->back().message, std::string(kEventMessageBytesMax - 1, 'x') + " …");
}

TEST(Records, DamagedJsonIsCorruptionNeverACrash) {
  const std::string good =
      R"({"name":"a","id":"000102030405060708090a0b0c0d0e0f","active":"s1",)"
      R"("term":1,"created":"2026-01-01T00:00:00Z","copies":[{"server":"s1"}]})";
  ASSERT_TRUE(DatabaseFromJson("k", good).ok());
  EXPECT_EQ(DatabaseFromJson("k", good)->copies[0].replay_lag, base::Duration(0));
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char with : {'\0', '"', '9', '{', '\xff'}) {
      std::string bad = good;
      bad[at] = with;
      const auto parsed = DatabaseFromJson("k", bad);
      if (!parsed.ok()) {
        EXPECT_EQ(parsed.status().code(), base::Code::kCorruption) << bad;
      }
    }
    EXPECT_FALSE(DatabaseFromJson("k", good.substr(0, at)).ok());
  }
}

TEST(Records, ALagIsAtMostWhatACopyCanHave) {
  DatabaseRecord record;
  record.name = record.active = "a";
  record.copies.emplace_back();
  record.copies[0].replay_lag = std::chrono::hours(24 * 365);
  const auto parsed = DatabaseFromJson("k", ToJson(record));
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(parsed->copies[0].replay_lag, kReplayLagMax);
}

TEST(Records, AFieldOfTheWrongTypeIsNamed) {
  const auto parsed = ServerFromJson("servers/s1", R"({"name":"s1","address":5})");
  EXPECT_EQ(parsed.status().message(), "coordinator key servers/s1: address is not a string");
}

}  // namespace
}  // namespace understudy::cluster
