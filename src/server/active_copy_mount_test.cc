// SPDX-License-Identifier: Apache-2.0
// Which databases an active copy refuses to mount.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/embedded_coordinator.h"
#include "log/checkpoint_file.h"
#include "server/active_copy.h"
#include "server/mount_mark.h"
#include "server/reseed_mark.h"
#include "sqlite/connection.h"
#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

using ::testing::HasSubstr;

constexpr auto kTestLimit = std::chrono::seconds(30);

class MountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    ASSERT_TRUE(coordinator.ok()) << coordinator.status().ToString();
    coordinator_ = std::move(coordinator).value();
    registry_ = std::make_unique<cluster::Registry>(env_, *coordinator_);
    settings_ = std::make_unique<Settings>(config_);
    auto connection = sqlite::Connection::Open(path_, {.create = true});
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE((*connection)->Execute("PRAGMA journal_mode=WAL; CREATE TABLE t(x)").ok());
    cluster::DatabaseRecord record;
    record.name = "orders";
    record.id = id_;
    record.active = "s1";
    record.copies.emplace_back().server = "s1";
    ASSERT_TRUE(registry_->CreateDatabase(record).ok());
    ASSERT_TRUE(env_.MakeDirectories(data_dir()).ok());
  }
  std::string data_dir() const { return directory_.File("data"); }
  void Mark(base::DatabaseId owner) {
    ASSERT_TRUE(ClaimCopyDirectory(env_, data_dir(), "orders", owner).ok());
    ReseedMark mark;
    mark.stage = ReseedMark::Stage::kSeed;
    mark.why = "diverged: other records";
    ASSERT_TRUE(SaveReseedMark(env_, PathsOf(data_dir(), "orders").directory, mark).ok());
  }
  std::unique_ptr<ActiveCopy> Start(const std::string& taken_from = "", const Peers& peers = {}) {
    ActiveCopy::Options options;
    options.peers = peers;
    options.name = "orders";
    options.id = id_;
    options.path = path_;
    options.paths = PathsOf(data_dir(), "orders");
    options.taken_from = taken_from;
    const ServerContext context{env_, *settings_, *registry_, events_, authority_, promises_, "s1"};
    return std::make_unique<ActiveCopy>(context, options);
  }
  uint64_t term() { return registry_->FindDatabase("orders").value().term.value; }

  env::Env& env_ = env::PosixEnv();
  Config config_;
  test::TempDir directory_;
  const std::string path_ = directory_.File("orders.db");
  const base::DatabaseId id_{{1, 2, 3}};
  Authority authority_{env_, std::chrono::seconds(6)};
  Promises promises_{env_};
  EventLog events_{env_, "s1", std::make_shared<rpc::Signal>()};
  std::unique_ptr<cluster::EmbeddedCoordinator> coordinator_;
  std::unique_ptr<cluster::Registry> registry_;
  std::unique_ptr<Settings> settings_;
};

TEST_F(MountTest, ACopyWhosePagesAreBeingReplacedIsNotMounted) {
  Mark(id_);
  const uint64_t before = term();
  const std::unique_ptr<ActiveCopy> copy = Start();
  const base::Status refused = copy->WaitMounted(kTestLimit);
  EXPECT_EQ(refused.code(), base::Code::kUnavailable) << refused.ToString();
  EXPECT_THAT(refused.message(), HasSubstr("the copy of orders on s1 is not whole"));
  EXPECT_THAT(refused.message(), HasSubstr("diverged: other records"));
  EXPECT_THAT(refused.message(), HasSubstr("understudy failover run orders --to SERVER"));
  EXPECT_EQ(term(), before);  // no term was used up, and no log begun
  EXPECT_FALSE(env::Exists(env_, PathsOf(data_dir(), "orders").log));
  // It is looked at again: once the copy is whole it is mounted.
  ASSERT_TRUE(RemoveReseedMark(env_, PathsOf(data_dir(), "orders").directory).ok());
  const base::SteadyTime end = env_.Now() + kTestLimit;
  while (copy->Status().state() != "Mounted" && env_.Now() < end) {
    copy->WaitPeerProgress(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(copy->Status().state(), "Mounted");
}

// It looked after its lease at its next attempt to mount only, up to 5 s later.
TEST_F(MountTest, ACopyThatFailsAndCanBeWrittenIsFencedBeforeTheLeaseEnds) {
  Mark(id_);
  ASSERT_TRUE(SaveMountMark(env_, PathsOf(data_dir(), "orders"), {path_, "", "", true}).ok());
  const auto write = [&] {
    auto connection = sqlite::Connection::Open(path_, {});
    return connection.ok() ? (*connection)->Execute("INSERT INTO t VALUES (1)")
                           : connection.status();
  };
  // Attempts are made after 0, 0.2, 0.6, 1.4, 3 and 6.2 s.
  authority_.Extend(env_.Now() + std::chrono::milliseconds(3'300) + authority_.margin());
  const std::unique_ptr<ActiveCopy> copy = Start("", {{"s2", 0}});
  EXPECT_TRUE(write().ok());
  while (copy->Status().state() != "Dismounted" && authority_.Valid()) {
    copy->WaitPeerProgress(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(authority_.Valid());
  EXPECT_THAT(write().message(), HasSubstr("readonly"));
}

TEST_F(MountTest, TheMarkOfARemovedDatabaseOfThatNameIsNoObstacle) {
  Mark(base::DatabaseId{{9}});
  const base::Status mounted = Start()->WaitMounted(kTestLimit);
  EXPECT_TRUE(mounted.ok()) << mounted.ToString();
}

TEST_F(MountTest, WhoHasThisServersPromiseIsNotReplacedBeforeItEnds) {
  promises_.Promise("s2", env_.Now() + std::chrono::milliseconds(1500));
  const base::SteadyTime begin = env_.Now();
  const std::unique_ptr<ActiveCopy> copy = Start("s2");
  const base::Status refused = copy->WaitMounted(kTestLimit);
  EXPECT_THAT(refused.message(), HasSubstr("s2 goes on in failsafe mode"));
  while (copy->Status().state() != "Mounted" && env_.Now() < begin + kTestLimit) {
    copy->WaitPeerProgress(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(copy->Status().state(), "Mounted");
  EXPECT_GE(env_.Now() - begin, std::chrono::milliseconds(1500));
}

TEST_F(MountTest, ALaterMountElsewhereEndsThisOne) {
  const std::unique_ptr<ActiveCopy> copy = Start();
  ASSERT_TRUE(copy->WaitMounted(kTestLimit).ok());
  const Mount mount = copy->mount().value();
  copy->NoteHigherTerm(mount.number + 1, base::Term(9), "s3");  // of an earlier or later mount
  copy->NoteHigherTerm(mount.number, mount.term, "s3");
  EXPECT_EQ(copy->Status().refused_terms(), 0u);
  copy->NoteHigherTerm(mount.number, base::Term(9), "s3");
  EXPECT_EQ(copy->Status().refused_terms(), 1u);
  const base::SteadyTime end = env_.Now() + kTestLimit;
  while (!copy->IsFinal() && env_.Now() < end) {
    copy->WaitPeerProgress(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(copy->IsFinal());
  EXPECT_EQ(copy->WaitMounted(kTestLimit).code(), base::Code::kCancelled);
}

// It failed for ever, and what no other copy had was in its database only.
TEST_F(MountTest, ALogThatHasLostItsEndBeginsAnewWhereTheDatabaseIs) {
  const CopyPaths paths = PathsOf(data_dir(), "orders");
  {
    const std::unique_ptr<ActiveCopy> copy = Start();
    ASSERT_TRUE(copy->WaitMounted(kTestLimit).ok());
    auto connection = sqlite::Connection::Open(path_, {});
    for (int row = 0; row < 20; ++row)
      ASSERT_TRUE((*connection)->Execute("INSERT INTO t VALUES (1)").ok());
    copy->Stop(ActiveCopy::StopMode::kFence);
  }
  const std::string newest = env::JoinPath(paths.log, env_.List(paths.log).value().back());
  const auto file = env_.Open(newest, env::OpenMode::kReadWrite).value();
  uint8_t byte = 0;
  const uint64_t middle = file->Size().value() / 2;
  ASSERT_TRUE(file->ReadAt(middle, {&byte, 1}).ok());
  byte ^= 1;
  ASSERT_TRUE(file->WriteAt(middle, {&byte, 1}).ok());
  const base::Seq end = log::LoadCheckpoint(env_, paths.checkpoint).value().at.position.seq;

  const std::unique_ptr<ActiveCopy> copy = Start();
  const base::Status mounted = copy->WaitMounted(kTestLimit);
  ASSERT_TRUE(mounted.ok()) << mounted.ToString();
  EXPECT_GT(copy->mount().value().log->first_seq(), end);
  auto connection = sqlite::Connection::Open(path_, {});
  EXPECT_EQ((*connection)->QueryInt("SELECT count(*) FROM t").value(), 20);
}

TEST_F(MountTest, WhatWasPromisedToOthersIsNoObstacle) {
  promises_.Promise("s3", env_.Now() + kTestLimit);
  EXPECT_TRUE(Start("s2")->WaitMounted(kTestLimit).ok());
}

}  // namespace
}  // namespace understudy::server
