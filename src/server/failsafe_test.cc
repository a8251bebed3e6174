// SPDX-License-Identifier: Apache-2.0
#include "server/failsafe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/embedded_coordinator.h"
#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

// The server s2, which is asked by s1.
class FailsafeTest : public ::testing::Test {
 protected:
  FailsafeTest() {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    CHECK(coordinator.ok());
    coordinator_ = std::move(coordinator).value();
    registry_ = std::make_unique<cluster::Registry>(env_, *coordinator_);
    orders_.name = "orders";
    orders_.id = base::DatabaseId{{1, 2, 3}};
    orders_.active = "s1";
    orders_.term = base::Term(4);
    database_ = request_.add_databases();
    database_->set_name("orders");
    database_->set_id(orders_.id.ToHex());
    database_->set_term(4);
    request_.set_server("s1");
    request_.set_for_ms(2000);
  }
  void SetFailsafe(bool on) {
    ASSERT_TRUE(registry_->UpdateGroup([on](auto& group) { group.failsafe = on; }).ok());
    cache_.NoteAll();
  }
  void Know() {
    cache_.SetDatabases({orders_});
    ASSERT_TRUE(cache_.Refresh(*registry_).ok());
  }
  v1::ConfirmResponse Answer() { return AnswerConfirm(context_, host_, cache_, request_); }
  std::string WhyNot() {
    const v1::ConfirmResponse answer = Answer();
    EXPECT_NE(answer.confirmed(), !answer.why().empty());
    if (!answer.confirmed()) {
      EXPECT_EQ(promises_.Left("s1"), base::Duration(0));
    }
    return answer.why();
  }

  env::Env& env_ = env::PosixEnv();
  test::TempDir directory_;
  std::unique_ptr<cluster::EmbeddedCoordinator> coordinator_;
  std::unique_ptr<cluster::Registry> registry_;
  Settings settings_{Config{}};
  EventLog events_{env_, "s2", std::make_shared<rpc::Signal>()};
  Authority authority_{env_, seconds(6)};
  Promises promises_{env_};
  const ServerContext context_{env_, settings_, *registry_, events_, authority_, promises_, "s2"};
  CopyHost host_{context_, directory_.File("data")};
  GroupCache cache_{env_};
  cluster::DatabaseRecord orders_;
  v1::ConfirmRequest request_;
  v1::ConfirmRequest::Database* database_ = nullptr;
};

TEST_F(FailsafeTest, APromiseIsKeptForItsTime) {
  SetFailsafe(true);
  Know();
  EXPECT_EQ(WhyNot(), "");
  EXPECT_GT(promises_.Left("s1"), base::Duration(0));
  EXPECT_LE(promises_.Left("s1"), seconds(2));
  EXPECT_EQ(promises_.Left("s3"), base::Duration(0));
}

TEST_F(FailsafeTest, NothingIsPromisedByAServerThatKnowsNothing) {
  EXPECT_THAT(WhyNot(), HasSubstr("has not read the registry"));
}

TEST_F(FailsafeTest, NothingIsPromisedWhereTheModeIsOff) {
  SetFailsafe(false);
  Know();
  EXPECT_THAT(WhyNot(), HasSubstr("failsafe mode is off"));
}

TEST_F(FailsafeTest, NothingIsPromisedToAFormerActiveServer) {
  SetFailsafe(true);
  orders_.active = "s3";
  Know();
  EXPECT_THAT(WhyNot(), HasSubstr("the active copy of orders is on s3"));
  orders_.active = "s1";
  orders_.term = base::Term(5);
  Know();
  EXPECT_THAT(WhyNot(), HasSubstr("in term 5 by the registry, not in 4"));
  database_->set_term(5);
  EXPECT_EQ(WhyNot(), "");
}

TEST_F(FailsafeTest, NothingIsPromisedForADatabaseThatIsNotKnown) {
  SetFailsafe(true);
  Know();
  database_->set_id(base::DatabaseId{{9}}.ToHex());
  EXPECT_THAT(WhyNot(), HasSubstr("does not know that orders"));
}

TEST_F(FailsafeTest, NobodyIsPromisedEternity) {
  SetFailsafe(true);
  Know();
  request_.set_for_ms(kPromiseMax / std::chrono::milliseconds(1) + 1);
  EXPECT_THAT(WhyNot(), HasSubstr("at most 300 s"));
  request_.set_for_ms(-1);
  EXPECT_NE(WhyNot(), "");
}

TEST_F(FailsafeTest, AServerThatHasJustStartedActsAsIfItHadPromisedEverybody) {
  promises_.RestUntil(env_.Now() + seconds(60));
  EXPECT_GT(promises_.Left("s1"), seconds(1));
  EXPECT_GT(promises_.Left("s9"), seconds(1));
}

TEST_F(FailsafeTest, PromisesCarryTheAuthorityWhenTheLeaseIsLost) {
  authority_.Extend(env_.Now() + seconds(3));
  authority_.Confirm(env_.Now() + seconds(2));
  authority_.Withdraw();  // the coordinator says that the lease has ended
  EXPECT_TRUE(authority_.Valid());
  EXPECT_LE(authority_.until() - env_.Now(), seconds(2));
  EXPECT_LT(authority_.lease_until(), env_.Now());
}

}  // namespace
}  // namespace understudy::server
