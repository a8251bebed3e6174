// SPDX-License-Identifier: Apache-2.0
// Replayer on the real disk, beside ordinary SQLite readers.
#include "replay/replayer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "replay/log_fixture.h"

namespace understudy::replay {
namespace {

using base::Bytes;
using base::PageNo;
using ::testing::HasSubstr;

class ReplayerTest : public ::testing::Test {
 protected:
  void SetUp() override { fixture_.Seed(env::PosixEnv(), path(), checkpoint_path()); }

  Replayer::Options DefaultOptions() const {
    return {.path = path(), .checkpoint_path = checkpoint_path(), .database = fixture_.id()};
  }
  void Open() { Open(DefaultOptions()); }
  void Open(const Replayer::Options& options) {
    replayer_.reset();
    auto opened = Replayer::Open(env::PosixEnv(), options, fixture_.log());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    replayer_ = std::move(opened).value();
  }
  base::Status RunToEnd() {
    for (;;) {
      auto result = replayer_->RunOnce(env::PosixEnv().Now());
      if (!result.ok()) return result.status();
      if (!result->worked) return base::Status();
    }
  }
  void ExpectAtEnd() {
    EXPECT_EQ(replayer_->replayed().position, fixture_.log().durable());
    EXPECT_EQ(replayer_->table().hashes(), fixture_.table().hashes());
    auto snapshot = replayer_->OpenSnapshot(/*with_hashes=*/true);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
    EXPECT_EQ(snapshot->hashes, fixture_.table().hashes());
    ASSERT_EQ(snapshot->reader->pages(), fixture_.images().size());
    Bytes image(snapshot->reader->page_size());
    for (const auto& [page, expected] : fixture_.images()) {
      ASSERT_TRUE(snapshot->reader->ReadPages(PageNo(page), 1, image).ok());
      if (page == 1) {
        EXPECT_EQ(image[log::kWriteVersionOffset], log::kWriteVersionReadOnly);
        image[log::kWriteVersionOffset] = log::kWriteVersionWal;
      }
      ASSERT_EQ(image, expected) << "page " << page;
    }
    auto db = sqlite::Connection::Open(path(), {}).value();
    EXPECT_EQ(db->QueryText("PRAGMA integrity_check").value(), "ok");
  }
  std::string path() const { return fixture_.File("passive.db"); }
  std::string checkpoint_path() const { return fixture_.File("passive.checkpoint"); }

  test::LogFixture fixture_;
  std::unique_ptr<Replayer> replayer_;
};

TEST_F(ReplayerTest, FollowsTheLog) {
  Open();
  EXPECT_EQ(replayer_->replayed().position, fixture_.start().at.position);
  for (int i = 0; i < 5; ++i) {
    fixture_.Workload(30);
    ASSERT_TRUE(RunToEnd().ok());
    ExpectAtEnd();
  }
  EXPECT_GT(replayer_->counters().records, 150U);
  EXPECT_LT(replayer_->counters().groups, replayer_->counters().records);
}

TEST_F(ReplayerTest, LeavesAloneWhatIsAfterItsLimit) {
  Open();
  fixture_.Workload(60);
  const uint64_t last = fixture_.log().durable().seq.value;
  for (uint64_t limit = 0; limit <= last + 5; limit += 7) {
    replayer_->SetLimit(base::Seq(limit));
    ASSERT_TRUE(RunToEnd().ok());
    const uint64_t at = replayer_->replayed().position.seq.value;
    EXPECT_EQ(at, std::clamp(limit, fixture_.start().at.position.seq.value, last));
    EXPECT_EQ(replayer_->replayed().checksum, fixture_.checksums().at(at));
    replayer_->SetLimit(base::Seq(0));  // what is replayed stays
    ASSERT_TRUE(RunToEnd().ok());
    EXPECT_EQ(replayer_->replayed().position.seq.value, at);
  }
  replayer_->SetLimit(base::Seq(UINT64_MAX));
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
}

TEST_F(ReplayerTest, ALimitHoldsAfterARestartAndLargeRecordsWait) {
  Open();
  fixture_.Workload(10);
  const base::Seq before = fixture_.log().durable().seq;
  fixture_.Insert(60000, 500);  // a record of many parts
  fixture_.Capture();
  replayer_->SetLimit(before);
  ASSERT_TRUE(RunToEnd().ok());
  EXPECT_EQ(replayer_->replayed().position.seq, before);
  Open();
  replayer_->SetLimit(before);
  ASSERT_TRUE(RunToEnd().ok());
  EXPECT_EQ(replayer_->replayed().position.seq, before);
  replayer_->SetLimit(base::Seq(before.value + 1));
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
}

TEST_F(ReplayerTest, StreamsARecordLargerThanItsMemory) {
  Open();
  fixture_.Insert(60000, 500);
  fixture_.Capture();
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
  fixture_.Sql("DELETE FROM t WHERE id > 100");
  fixture_.Sql("VACUUM");
  fixture_.Capture();
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
}

TEST_F(ReplayerTest, CatchingUpWithLargeRecordsDoesNotMakeTheWalGrow) {
  fixture_.Insert(5000);
  for (int i = 0; i < 30; ++i) {
    fixture_.Sql("UPDATE t SET body = randomblob(400)");
    fixture_.Capture();
  }
  auto options = DefaultOptions();
  options.wal_bytes_max = 1 << 20;
  options.run_bytes_max = 777'777;
  Open(options);
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
  const uint64_t record = uint64_t{fixture_.table().pages()} * (4096 + 24);
  EXPECT_GT(30 * record, 40u << 20);
  EXPECT_LT(env::PosixEnv().Stat(path() + "-wal").value().size, options.wal_bytes_max + 2 * record);
}

TEST_F(ReplayerTest, SnapshotStaysAtItsPosition) {
  fixture_.Workload(5);
  Open();
  ASSERT_TRUE(RunToEnd().ok());
  auto snapshot = replayer_->OpenSnapshot();
  ASSERT_TRUE(snapshot.ok());
  EXPECT_TRUE(snapshot->hashes.empty());
  const auto at = fixture_.table();
  fixture_.Workload(60);
  ASSERT_TRUE(RunToEnd().ok());
  ASSERT_TRUE(replayer_->Checkpoint().ok());
  EXPECT_EQ(snapshot->at.checksum, at.checksum());
  Bytes image(snapshot->reader->page_size());
  for (uint32_t page = 1; page <= at.pages(); ++page) {
    ASSERT_TRUE(snapshot->reader->ReadPages(PageNo(page), 1, image).ok());
    ASSERT_EQ(log::HashPage(PageNo(page), image), at.HashOf(PageNo(page))) << page;
  }
}

TEST_F(ReplayerTest, FindsItsPositionAfterACleanStop) {
  auto options = DefaultOptions();
  options.run_bytes_max = 1;  // one record at a time
  for (int i = 0; i < 40; ++i) {
    fixture_.Workload(3);
    Open(options);
    const auto before = replayer_->replayed().position;
    ASSERT_TRUE(replayer_->RunOnce(env::PosixEnv().Now()).ok());
    ASSERT_TRUE(replayer_->RunOnce(env::PosixEnv().Now()).ok());
    const auto position = replayer_->replayed().position;
    EXPECT_EQ(position.seq.value, before.seq.value + 2);
    if (i % 3 == 0) {
      ASSERT_TRUE(replayer_->Checkpoint().ok());
    }
    Open(options);
    // A mount record changes nothing, so the position after it is as good.
    EXPECT_GE(replayer_->replayed().position, position);
    EXPECT_LE(replayer_->replayed().position.seq.value, position.seq.value + 1);
  }
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
}

TEST_F(ReplayerTest, FindsItsPositionWithoutACheckpointFile) {
  fixture_.Workload(20);
  Open();
  ASSERT_TRUE(RunToEnd().ok());
  replayer_.reset();
  std::filesystem::remove(checkpoint_path());
  fixture_.Workload(20);
  Open();
  EXPECT_EQ(replayer_->replayed().position.seq.value + 21, fixture_.log().durable().seq.value);
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
}

// A log that lost its end (a disk that lied, a restored directory): other pages cure that.
TEST_F(ReplayerTest, ADatabaseThatIsAheadOfItsLogHasAGap) {
  fixture_.Workload(12);
  Open();
  ASSERT_TRUE(RunToEnd().ok());
  ASSERT_TRUE(replayer_->Checkpoint().ok());
  replayer_.reset();
  test::LogFixture shorter;
  const auto opened = Replayer::Open(env::PosixEnv(), DefaultOptions(), shorter.log());
  EXPECT_EQ(opened.status().code(), base::Code::kLogGap);
  EXPECT_THAT(opened.status().message(), HasSubstr("but its log ends at"));
}

TEST_F(ReplayerTest, StopsAtTheVeryRecordThatDiverges) {
  fixture_.Workload(12);
  const auto good = fixture_.log().durable();
  fixture_.Insert(1);
  fixture_.CaptureDiverging();
  fixture_.Workload(5);
  Open();
  const auto failure = RunToEnd();
  EXPECT_EQ(failure.code(), base::Code::kDiverged);
  EXPECT_THAT(failure.message(), HasSubstr("record 1." + std::to_string(good.seq.value + 1) + ":"));
  EXPECT_THAT(failure.message(), HasSubstr("(R5)"));
  EXPECT_EQ(replayer_->replayed().position, good);
  EXPECT_EQ(replayer_->RunOnce(env::PosixEnv().Now()).status().code(), base::Code::kDiverged);
  auto db = sqlite::Connection::Open(path(), {}).value();
  EXPECT_EQ(db->QueryText("PRAGMA integrity_check").value(), "ok");
}

TEST_F(ReplayerTest, ForeignContentIsFoundAtOpen) {
  fixture_.Workload(10);
  Open();
  ASSERT_TRUE(RunToEnd().ok());
  ASSERT_TRUE(replayer_->Checkpoint().ok());
  replayer_.reset();
  for (const bool untouched : {true, false}) {
    {
      auto wal = sqlite::PassiveWal::Open(env::PosixEnv(), {.path = path()}).value();
      Bytes image(wal->page_size());
      ASSERT_TRUE(wal->ReadPage(PageNo(2), image).ok());
      image[100] ^= 1;
      ASSERT_TRUE(wal->AppendPage(PageNo(2), image).ok());
      ASSERT_TRUE(wal->Commit(wal->pages()).ok());
    }
    if (!untouched) {
      fixture_.Insert(500);  // splits the root of the table, which is page 2
      fixture_.Capture();
    }
    auto options = DefaultOptions();
    options.verify_all = true;
    const auto refused = Replayer::Open(env::PosixEnv(), options, fixture_.log());
    EXPECT_EQ(refused.status().code(), base::Code::kDiverged);
    EXPECT_THAT(refused.status().message(), HasSubstr("page 2 "));
    auto wal = sqlite::PassiveWal::Open(env::PosixEnv(), {.path = path()}).value();
    Bytes image(wal->page_size());
    ASSERT_TRUE(wal->ReadPage(PageNo(2), image).ok());
    image[100] ^= 1;
    ASSERT_TRUE(wal->AppendPage(PageNo(2), image).ok());
    ASSERT_TRUE(wal->Commit(wal->pages()).ok());
  }
  auto options = DefaultOptions();
  options.verify_all = true;
  Open(options);
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
}

TEST_F(ReplayerTest, DamagedPageStopsReplayAtItsRecord) {
  Open();
  fixture_.Workload(3);
  ASSERT_TRUE(RunToEnd().ok());
  ASSERT_TRUE(replayer_->Checkpoint().ok());
  const auto good = replayer_->replayed().position;
  auto& env = env::PosixEnv();
  // In the file, where the next deltas' bases are read from. A second descriptor on a live database
  // would drop SQLite's locks when it is closed: so in a child.
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = env.Open(path(), env::OpenMode::kReadWrite).value();
    bool ok = true;
    for (uint32_t page = 1; page < replayer_->replayed().pages; ++page) {
      Bytes byte(1);
      ok = ok && file->ReadAt(page * 4096 + 4000, byte).ok();
      byte[0] ^= 1;
      ok = ok && file->WriteAt(page * 4096 + 4000, byte).ok();
    }
    ::_exit(ok ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  for (int i = 0; i < 2; ++i) {
    fixture_.Insert(1);
    fixture_.Capture();
  }
  const auto failure = RunToEnd();
  EXPECT_EQ(failure.code(), base::Code::kCorruption) << failure.ToString();
  EXPECT_THAT(failure.message(), HasSubstr("damaged"));
  EXPECT_THAT(failure.message(),
              HasSubstr("record 1." + std::to_string(good.seq.value + 1) + ": page "));
  EXPECT_EQ(replayer_->replayed().position, good);
  EXPECT_EQ(replayer_->RunOnce(env.Now()).status().code(), base::Code::kCorruption);  // sticky
}

TEST_F(ReplayerTest, PreparedCopyCanBeWritten) {
  fixture_.Workload(10);
  Open();
  ASSERT_TRUE(RunToEnd().ok());
  ASSERT_TRUE(replayer_->PrepareMount().ok());
  EXPECT_TRUE(fixture_.log().holds().empty());
  auto db = sqlite::Connection::Open(path(), {}).value();
  EXPECT_TRUE(db->Execute("INSERT INTO t(k) VALUES (1)").ok());
  EXPECT_EQ(replayer_->RunOnce(env::PosixEnv().Now()).status().code(), base::Code::kCancelled);
  EXPECT_EQ(log::LoadCheckpoint(env::PosixEnv(), checkpoint_path())->at.position,
            fixture_.log().durable());
}

TEST_F(ReplayerTest, HoldsTheLogThatARestartNeeds) {
  Open();
  EXPECT_EQ(fixture_.log().holds().at(0).seq, fixture_.start().at.position.seq);
  fixture_.Workload(10);
  ASSERT_TRUE(RunToEnd().ok());
  EXPECT_EQ(fixture_.log().holds().at(0).seq, fixture_.start().at.position.seq);
  ASSERT_TRUE(replayer_->Checkpoint().ok());
  EXPECT_EQ(fixture_.log().holds().at(0).seq, fixture_.log().durable().seq);
}

// Readers in other processes, which open, check and close again and again.
constexpr const char* kReaderScript = R"(
import os, sqlite3, sys
path, stop = sys.argv[1], sys.argv[2]
while not os.path.exists(stop):
    db = sqlite3.connect(path, timeout=20)
    for _ in range(3):
        db.execute("BEGIN")
        a = db.execute("SELECT count(*), total(k) FROM t NOT INDEXED").fetchone()
        b = db.execute("SELECT count(k), total(k) FROM t INDEXED BY t_k").fetchone()
        c = db.execute("PRAGMA quick_check").fetchone()[0]
        db.execute("COMMIT")
        if a != b or c != "ok":
            print("WRONG", a, b, c); sys.exit(1)
    db.close()
)";

// A child replays and is killed, again and again, beside readers that keep -wal and -shm alive.
TEST_F(ReplayerTest, SurvivesKillsBesideReadersOfOtherProcesses) {
  fixture_.Workload(120);
  std::ofstream(fixture_.File("reader.py")) << kReaderScript;
  const std::string stop = fixture_.File("stop");
  std::vector<pid_t> readers;
  for (int i = 0; i < 2; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execlp("python3", "python3", fixture_.File("reader.py").c_str(), path().c_str(),
               stop.c_str(), static_cast<char*>(nullptr));
      ::_exit(9);
    }
    readers.push_back(pid);
  }
  auto options = DefaultOptions();
  options.run_bytes_max = options.group_bytes_max = 32 << 10;
  options.wal_bytes_max = 256 << 10;
  options.checkpoint_file_interval_bytes = 512 << 10;
  base::Position reached;
  for (int round = 0; round < 25; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto replayer = Replayer::Open(env::PosixEnv(), options, fixture_.log());
      if (!replayer.ok()) ::_exit(3);
      for (;;) {
        if (!(*replayer)->RunOnce(env::PosixEnv().Now()).ok()) ::_exit(4);
        const uint64_t seq = (*replayer)->replayed().position.seq.value;
        if (::write(ends[1], &seq, sizeof seq) != sizeof seq) ::_exit(5);
      }
    }
    ::close(ends[1]);
    uint64_t seq = 0;
    for (int i = 0; i < 1 + round % 5; ++i) {
      ASSERT_EQ(::read(ends[0], &seq, sizeof seq), static_cast<ssize_t>(sizeof seq));
      EXPECT_GE(seq, reached.seq.value);
      reached.seq.value = seq;
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
    ::close(ends[0]);
  }
  Open();
  ASSERT_TRUE(RunToEnd().ok());
  ExpectAtEnd();
  std::ofstream(stop) << "now";
  for (const pid_t pid : readers) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

}  // namespace
}  // namespace understudy::replay
