// SPDX-License-Identifier: Apache-2.0
#include "cluster/backup_lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "cluster/embedded_coordinator.h"
#include "testing/temp_dir.h"

namespace understudy::cluster {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class BackupArbiterTest : public ::testing::Test {
 protected:
  BackupArbiterTest() {
    auto coordinator = EmbeddedCoordinator::Open(env::PosixEnv(), directory_.File("cluster.db"));
    CHECK(coordinator.ok());
    coordinator_ = std::move(coordinator).value();
    arbiter_ = std::make_unique<BackupArbiter>(*coordinator_);
  }
  static BackupLease Of(const std::string& id, const std::string& database = "orders") {
    BackupLease lease;
    lease.id = id;
    lease.database = database;
    lease.server = "s3";
    lease.role = "passive";
    lease.requester = "betest";
    lease.type = "full";
    lease.began = {1'800'000'000'000};
    return lease;
  }
  LeaseId Grant() { return coordinator_->GrantLease(seconds(60)).value(); }
  BackupArbiter::Turn Try(const std::string& id, LeaseId lease) {
    auto turn = arbiter_->Try(Of(id), lease);
    EXPECT_TRUE(turn.ok()) << turn.status().ToString();
    return turn.ok() ? *turn : BackupArbiter::Turn{};
  }

  test::TempDir directory_;
  std::unique_ptr<EmbeddedCoordinator> coordinator_;
  std::unique_ptr<BackupArbiter> arbiter_;
};

TEST_F(BackupArbiterTest, OneAtATimeAndTheOthersInOrder) {
  const LeaseId a = Grant(), b = Grant(), c = Grant();
  EXPECT_TRUE(Try("a", a).ours);
  const BackupArbiter::Turn second = Try("b", b);
  EXPECT_FALSE(second.ours);
  ASSERT_TRUE(second.holder.has_value());
  EXPECT_EQ(second.holder->id, "a");
  EXPECT_EQ(Try("c", c).before_us, 1u);
  EXPECT_EQ(Try("b", b).before_us, 0u) << "it asks again and keeps its place";
  ASSERT_EQ(arbiter_->Waiting("orders")->size(), 2u);
  EXPECT_EQ(arbiter_->Waiting("orders")->front().id, "b");

  ASSERT_TRUE(arbiter_->End(Of("a")).ok());
  EXPECT_FALSE(Try("c", c).ours) << "b has waited longer";
  EXPECT_TRUE(Try("b", b).ours);
  ASSERT_TRUE(arbiter_->End(Of("b")).ok());
  EXPECT_TRUE(Try("c", c).ours);
  EXPECT_TRUE(arbiter_->Waiting("orders")->empty());
}

TEST_F(BackupArbiterTest, OtherDatabasesHaveTheirOwnTurns) {
  const LeaseId lease = Grant();
  EXPECT_TRUE(Try("a", lease).ours);
  EXPECT_TRUE(arbiter_->Try(Of("b", "mail"), lease)->ours);
}

TEST_F(BackupArbiterTest, ADeadHolderOrWaiterBlocksNobody) {
  const LeaseId dead = Grant(), waiting = Grant(), next = Grant();
  EXPECT_TRUE(Try("a", dead).ours);
  EXPECT_FALSE(Try("b", waiting).ours);
  EXPECT_FALSE(Try("c", next).ours);
  ASSERT_TRUE(coordinator_->RevokeLease(dead).ok());
  ASSERT_TRUE(coordinator_->RevokeLease(waiting).ok());
  EXPECT_TRUE(Try("c", next).ours);
}

TEST_F(BackupArbiterTest, ASessionKeepsItsTurnOverARestart) {
  EXPECT_TRUE(Try("a", Grant()).ours);
  const LeaseId after_restart = Grant();
  EXPECT_TRUE(Try("a", after_restart).ours);
  EXPECT_TRUE(arbiter_->Renew(Of("a"), after_restart).ok());
}

TEST_F(BackupArbiterTest, RenewalTellsProgressAndNoticesALostTurn) {
  const LeaseId lease = Grant();
  EXPECT_TRUE(Try("a", lease).ours);
  BackupLease held = Of("a");
  held.phase = "Transfer";
  held.bytes_done = 45;
  held.bytes_total = 100;
  held.first = {base::Term(2), base::Seq(3)};
  ASSERT_TRUE(arbiter_->Renew(held, lease).ok());
  const std::optional<BackupLease> told = arbiter_->Holder("orders").value();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->first, held.first);
  EXPECT_THAT(ToString(*told), HasSubstr("Transfer, 45 %"));
  EXPECT_THAT(ToString(*told), HasSubstr("of the passive copy on s3, for betest"));

  ASSERT_TRUE(coordinator_->RevokeLease(lease).ok());
  EXPECT_EQ(arbiter_->Renew(held, lease).code(), base::Code::kNotFound);
  const LeaseId other = Grant();
  EXPECT_TRUE(Try("b", other).ours);
  const base::Status lost = arbiter_->Renew(held, Grant());
  EXPECT_EQ(lost.code(), base::Code::kNotFound);
  EXPECT_THAT(lost.message(), HasSubstr("backup b"));
  ASSERT_TRUE(arbiter_->End(held).ok());
  EXPECT_EQ(arbiter_->Holder("orders").value()->id, "b") << "who has lost it takes nobody else's";
}

TEST_F(BackupArbiterTest, TheQueueIsBounded) {
  EXPECT_TRUE(Try("holder", Grant()).ours);
  const LeaseId lease = Grant();
  for (size_t i = 0; i < BackupArbiter::kQueueMax; ++i) Try("w" + std::to_string(i), lease);
  EXPECT_EQ(arbiter_->Try(Of("more"), lease).status().code(), base::Code::kBusy);
}

TEST(BackupLease, AFieldOfAWrongTypeIsRefusedByName) {
  const auto lease = BackupLeaseFromJson("backups/x", R"({"id": 7})");
  EXPECT_EQ(lease.status().code(), base::Code::kCorruption);
  EXPECT_THAT(lease.status().message(), HasSubstr("backups/x"));
}

}  // namespace
}  // namespace understudy::cluster
