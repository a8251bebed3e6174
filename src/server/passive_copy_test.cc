// SPDX-License-Identifier: Apache-2.0
// The test's thread is the link thread; replay has its own, as in the daemon.
#include "server/passive_copy.h"

#include <fmt/format.h>
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

class LaggedCopyTest : public PassiveCopyTest {
 protected:
  void SetUp() override {
    PassiveCopyTest::SetUp();
    for (int i = 0; i < 20; ++i) {
      fixture_.Insert(200);
      fixture_.Capture();
    }
    config_.lag.playdown_free_percent = 0;
    settings_->Replace(config_);
    LayOutCopy();
  }
  void StartLagged(base::Duration lag) {
    Start();
    copy_->SetReplayLag(lag);
    RunUntil([&] { return LagHold() != "none"; });
  }
  void RunSome() {
    const base::SteadyTime end = env_.Now() + std::chrono::milliseconds(200);
    RunUntil([&] { return env_.Now() >= end; });
  }
  std::string LagHold() {
    const v1::CopyStatus status = copy_->Status();
    for (const auto& hold : status.holds()) {
      if (hold.name() == kLagHold) return fmt::format("{} {}", hold.seq(), hold.reason());
    }
    return "none";
  }
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    while (const auto event = events_.Take()) told.push_back(event->message);
    return told;
  }
};

TEST_F(LaggedCopyTest, ReplaysNothingBeforeItsTimeAlsoAfterARestart) {
  const uint64_t start = fixture_.start().at.position.seq.value;
  for (int round = 0; round < 2; ++round) {
    StartLagged(std::chrono::hours(2));
    RunSome();
    EXPECT_EQ(replayed(), start);
    EXPECT_EQ(copy_->Status().replay_queue(), last_seq() - start);
    EXPECT_EQ(copy_->Status().replay_lag_ms(), 7'200'000);
    EXPECT_GT(copy_->Status().lag_actual_ms(), 0);
    EXPECT_THAT(LagHold(), ::testing::StartsWith(fmt::format("{} ", start)));
    EXPECT_THAT(LagHold(), ::testing::HasSubstr("2h"));
    copy_->Shut();
  }
}

TEST_F(LaggedCopyTest, TheLagIsOverInTime) {
  StartLagged(std::chrono::milliseconds(300));
  RunUntil([&] { return replayed() == last_seq(); });
  EXPECT_EQ(copy_->Status().lag_actual_ms(), 0);
  copy_->Shut();
}

TEST_F(LaggedCopyTest, ALagThatIsTakenAwayEndsAtOnce) {
  StartLagged(std::chrono::hours(2));
  copy_->SetReplayLag({});
  RunUntil([&] { return replayed() == last_seq(); });
  EXPECT_EQ(LagHold(), "none");
  copy_->Shut();
}

TEST_F(LaggedCopyTest, PlaysDownOnDemand) {
  StartLagged(std::chrono::hours(2));
  copy_->RequestPlayDown(base::Seq(10), "an administrator asked for it");
  RunUntil([&] { return replayed() == 10 && copy_->Status().playing_down().empty(); });
  RunSome();
  EXPECT_EQ(replayed(), 10U);
  EXPECT_THAT(Told(), ::testing::IsSupersetOf(
                          {::testing::HasSubstr("before its time, because an administrator"),
                           ::testing::HasSubstr("play-down of t on s2 has ended")}));
  copy_->Shut();
}

TEST_F(LaggedCopyTest, PlaysDownAndFreesLogOnALowDisk) {
  config_.lag.playdown_free_percent = 100;  // there never is so much
  settings_->Replace(config_);
  StartLagged(std::chrono::hours(2));
  RunUntil([&] { return replayed() == last_seq() && !copy_->Status().playing_down().empty(); });
  EXPECT_THAT(copy_->Status().playing_down(),
              ::testing::HasSubstr("lag.playdown_free_percent is 100"));
  RunUntil([&] { return copy_->Status().log_first_seq() > 2; });  // the default keeps 256 MiB
  config_.lag.playdown_free_percent = 0;
  settings_->Replace(config_);
  RunUntil([&] { return copy_->Status().playing_down().empty(); });
  copy_->Shut();
}

TEST_F(LaggedCopyTest, IsHandedOverWithEverything) {
  StartLagged(std::chrono::hours(2));
  copy_->RequestHandover();
  std::optional<PassiveCopy::HandoverResult> result;
  RunUntil([&] {
    if (!result) result = copy_->TakeHandover();
    return result.has_value();
  });
  ASSERT_TRUE(result->why.ok()) << result->why.ToString();
  ASSERT_NE(result->handover, nullptr);
  const auto rows = [](const std::string& path) {
    const auto db = sqlite::Connection::Open(path, {.read_only = true}).value();
    return db->QueryInt("SELECT count(*) FROM t").value();
  };
  EXPECT_EQ(rows(path_), rows(fixture_.active_path()));
  for (const log::Hold& hold : result->handover->log->holds()) EXPECT_NE(hold.name, kLagHold);
}

TEST_F(LaggedCopyTest, RetentionKeepsWhatIsHeldBack) {
  config_.log.keep_bytes = 1;
  settings_->Replace(config_);
  StartLagged(std::chrono::milliseconds(1500));
  const uint64_t start = fixture_.start().at.position.seq.value;
  RunSome();
  EXPECT_LE(copy_->Status().log_first_seq(), start + 1);
  RunUntil([&] { return replayed() == last_seq(); });
  EXPECT_EQ(copy_->Status().error(), "");
  copy_->Shut();
}

}  // namespace
}  // namespace understudy::server
