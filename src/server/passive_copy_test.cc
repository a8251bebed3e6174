// SPDX-License-Identifier: Apache-2.0
// The test's thread is the link thread; replay has its own, as in the daemon.
#include "server/passive_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "cluster/embedded_coordinator.h"
#include "replay/log_fixture.h"

namespace understudy::server {
namespace {

constexpr auto kTestLimit = std::chrono::seconds(30);
constexpr auto kSlice = std::chrono::milliseconds(5);

class PassiveCopyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    ASSERT_TRUE(coordinator.ok()) << coordinator.status().ToString();
    coordinator_ = std::move(coordinator).value();
    registry_ = std::make_unique<cluster::Registry>(env_, *coordinator_);
    settings_ = std::make_unique<Settings>(config_);
  }
  // A seeded copy with everything of the fixture's log, none of it replayed: as after a kill -9.
  void LayOutCopy() {
    paths_ = PathsOf(directory_.path(), "t");
    const base::Status claimed = ClaimCopyDirectory(env_, directory_.path(), "t", fixture_.id());
    ASSERT_TRUE(claimed.ok()) << claimed.ToString();
    path_ = env::JoinPath(paths_.directory, "t.db");
    fixture_.Seed(env_, path_, paths_.checkpoint);
    std::filesystem::copy(fixture_.File("log"), paths_.log);
  }
  void Start() {
    const ServerContext context{env_, *settings_, *registry_, events_, authority_, promises_, "s2"};
    copy_ = std::make_unique<PassiveCopy>(
        context, PassiveCopy::Options{"t", fixture_.id(), 0, path_, paths_}, link_);
  }
  void RunUntil(const std::function<bool()>& done) {
    const base::SteadyTime end = env_.Now() + kTestLimit;
    while (!done()) {
      ASSERT_LT(env_.Now(), end) << copy_->Status().DebugString();
      const uint64_t seen = link_->count();
      copy_->RunOnce(env_.Now());
      if (!done()) link_->WaitFor(seen, kSlice);
    }
  }
  uint64_t replayed() const { return copy_->Status().replayed().seq(); }
  uint64_t last_seq() { return fixture_.log().end().position.seq.value; }

  env::Env& env_ = env::PosixEnv();
  Config config_;
  test::TempDir directory_;
  replay::test::LogFixture fixture_;
  std::shared_ptr<rpc::Signal> link_ = std::make_shared<rpc::Signal>();
  Authority authority_{env_, std::chrono::seconds(6)};
  Promises promises_{env_};
  EventLog events_{env_, "s2", std::make_shared<rpc::Signal>()};
  std::unique_ptr<cluster::EmbeddedCoordinator> coordinator_;
  std::unique_ptr<cluster::Registry> registry_;
  std::unique_ptr<Settings> settings_;
  CopyPaths paths_;
  std::string path_;
  std::unique_ptr<PassiveCopy> copy_;
};

// What broke: replay's hold is set when it has opened the database, on its own thread. Retention
// ran before, removed log that replay still had to go through, and the copy had to be seeded anew.
TEST_F(PassiveCopyTest, KeepsLogThatReplayHasYetToOpenWith) {
  for (int i = 0; i < 6; ++i) {
    fixture_.Insert(2000);
    fixture_.Capture();
  }
  ASSERT_GT(fixture_.log().generations().size(), 3U);
  LayOutCopy();
  config_.log.keep_bytes = 1;  // everything that no hold needs may go
  settings_->Replace(config_);
  Start();
  RunUntil([&] { return replayed() == last_seq(); });
  EXPECT_EQ(copy_->Status().error(), "");
  copy_->Shut();
}

TEST_F(PassiveCopyTest, IsSuspendedOnceNothingIsReplayedAnyMore) {
  fixture_.Insert(10);
  fixture_.Capture();
  LayOutCopy();
  Start();
  EXPECT_FALSE(copy_->WaitSuspended(base::Duration(0)));
  copy_->SetSuspended(true, "for a test");
  RunUntil([&] { return copy_->WaitSuspended(base::Duration(0)); });
  const uint64_t stopped_at = replayed();
  EXPECT_EQ(copy_->Status().suspend_reason(), "for a test");
  copy_->RunOnce(env_.Now());
  EXPECT_EQ(replayed(), stopped_at);
  copy_->SetSuspended(false, "");
  EXPECT_FALSE(copy_->WaitSuspended(base::Duration(0)));
  RunUntil([&] { return replayed() == last_seq(); });
  copy_->Shut();
}

}  // namespace
}  // namespace understudy::server
