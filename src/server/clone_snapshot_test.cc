// SPDX-License-Identifier: Apache-2.0
#include "server/clone_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "backup/snapshot_scan.h"
#include "replay/log_fixture.h"
#include "replay/replayer.h"
#include "testing/fault_env.h"

namespace understudy::server {
namespace {

// Where reflinks may not be had: copies in two halves, in other processes, as a clone must not open
// the database in this one. What `between` does is then in the second half only, which is worse
// than what a clone can see.
class CopyingEnv final : public test::FaultEnv {
 public:
  explicit CopyingEnv(env::Env& below) : FaultEnv(below) {}
  base::Status Clone(const std::string& from, const std::string& to) override {
    Copy(from, to, "count=40");
    if (between) between();
    Copy(from, to, "skip=40 seek=40");
    return {};
  }
  std::function<void()> between;

 private:
  static void Copy(const std::string& from, const std::string& to, const std::string& which) {
    const std::string command =
        "dd if='" + from + "' of='" + to + "' bs=4096 conv=notrunc status=none " + which;
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
};

class CloneSnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fixture_.Seed(env_, path_, fixture_.File("copy.checkpoint"));
    fixture_.Workload(30);
    // The WAL is put into the file by the test only.
    auto opened = replay::Replayer::Open(env::PosixEnv(),
                                         {.path = path_,
                                          .checkpoint_path = fixture_.File("copy.checkpoint"),
                                          .database = fixture_.id(),
                                          .wal_bytes_max = 1 << 30,
                                          .idle_checkpoint = std::chrono::hours(1)},
                                         fixture_.log());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    replayer_ = std::move(opened).value();
    Replay();
  }
  void Replay() {
    while (replayer_->RunOnce(env_.Now()).value().worked) {
    }
  }
  // Some more is replayed, and as much as may be is put into the file.
  void GoOn() {
    fixture_.Workload(20);
    Replay();
    EXPECT_TRUE(replayer_->Checkpoint().ok());
  }
  std::unique_ptr<ReaderSnapshot> Open() {
    auto opened = replayer_->OpenSnapshot(/*with_hashes=*/true);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return std::make_unique<ReaderSnapshot>(backup::SnapshotOrigin{.database = fixture_.id(),
                                                                   .database_name = "orders",
                                                                   .server = "s2",
                                                                   .role = "passive"},
                                            std::move(opened->reader), opened->at,
                                            std::move(opened->hashes));
  }
  void ExpectState(const std::string& path, const replay::test::Images& images) {
    const base::Bytes all = env::ReadFile(env_, path, 1 << 30).value();
    ASSERT_EQ(all.size(), images.size() * 4096);
    for (const auto& [page, expected] : images) {
      const base::ByteView image = base::ByteView(all).subspan((page - 1) * size_t{4096}, 4096);
      ASSERT_TRUE(std::equal(image.begin(), image.end(), expected.begin())) << "page " << page;
    }
  }

  CopyingEnv env_{env::PosixEnv()};
  replay::test::LogFixture fixture_;
  const std::string path_ = fixture_.File("copy.db");
  const std::string clone_ = fixture_.File("clone.db");
  std::unique_ptr<replay::Replayer> replayer_;
};

TEST_F(CloneSnapshotTest, IsTheStateOfTheSnapshotWhateverIsCheckpointedMeanwhile) {
  for (const bool wal_is_empty : {false, true}) {
    if (wal_is_empty) {
      ASSERT_TRUE(replayer_->Checkpoint().ok());
    }
    const replay::test::Images then = fixture_.images();
    auto snapshot = Open();
    EXPECT_TRUE(wal_is_empty || !snapshot->PagesInWal().empty());
    env_.between = [this] { GoOn(); };
    auto cloned = CloneSnapshot(env_, *snapshot, clone_);
    ASSERT_TRUE(cloned.ok()) << cloned.status().ToString();
    snapshot.reset();  // the read transaction ends
    GoOn();
    EXPECT_EQ((*cloned)->origin().provider, kReflink);
    EXPECT_EQ((*cloned)->pages(), then.size());
    EXPECT_EQ((*cloned)->TakeHashes().size(), then.size());
    EXPECT_TRUE(backup::ScanSnapshot(**cloned, "reading", {}, {}).ok());
    ExpectState(clone_, then);
    EXPECT_EQ(
        sqlite::Connection::Open(clone_, {}).value()->QueryText("PRAGMA integrity_check").value(),
        "ok");
    ASSERT_TRUE(env_.Remove(clone_).ok());
  }
}

TEST_F(CloneSnapshotTest, NoFailureLeavesAFileOrTheCopyBroken) {
  const replay::test::Images then = fixture_.images();
  const uint64_t failures = test::FailEachOperation(
      {.ops = test::kChangingOps}, 10'000, [&](const test::FaultPlan& plan) {
        auto snapshot = Open();
        env_.Arm(plan);
        auto cloned = CloneSnapshot(env_, *snapshot, clone_);
        env_.Disarm();
        EXPECT_EQ(cloned.ok(), !env_.fired());
        EXPECT_TRUE(backup::ScanSnapshot(*snapshot, "reading", {}, {}).ok());
        if (cloned.ok()) {
          ExpectState(clone_, then);
          EXPECT_TRUE(env_.Remove(clone_).ok());
        }
        EXPECT_FALSE(env::Exists(env_, clone_));
        return env_.fired();
      });
  EXPECT_GT(failures, 4u);
}

TEST_F(CloneSnapshotTest, ACloneThatSomebodyCutsIsAnError) {
  auto cloned = CloneSnapshot(env_, *Open(), clone_);
  ASSERT_TRUE(cloned.ok());
  ASSERT_TRUE(env_.Open(clone_, env::OpenMode::kReadWrite).value()->Truncate(8192).ok());
  const base::Status status = backup::ScanSnapshot(**cloned, "reading", {}, {});
  EXPECT_EQ(status.code(), base::Code::kIoError);
  EXPECT_THAT(status.message(), ::testing::HasSubstr(clone_));
}

}  // namespace
}  // namespace understudy::server
