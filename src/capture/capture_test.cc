// SPDX-License-Identifier: Apache-2.0
// Capture against real SQLite: what the log says must rebuild the database byte for byte.
#include "capture/capture.h"

#include <filesystem>

#include "capture/capture_test_support.h"

namespace understudy::capture {
namespace {

using std::chrono::milliseconds;

void ExpectEqualCopies(Follower& follower) {
  ASSERT_OK(follower.ApplyLog());
  ASSERT_OK(follower.capture->Close());
  follower.capture.reset();
  const std::string source = follower.SourceBytes();
  const std::string copy = follower.CopyBytes();
  ASSERT_EQ(source.size(), copy.size());
  for (size_t at = 0; at < source.size(); at += 512)
    ASSERT_TRUE(source.compare(at, 512, copy, at, 512) == 0) << "byte " << at;
}

TEST(Capture, FollowsOneWriterCommitByCommit) {
  Follower f;
  ASSERT_OK(f.Open());
  EXPECT_EQ(f.capture->captured().position, (base::Position{base::Term(1), base::Seq(1)}));
  ASSERT_OK(f.TakeBase());
  auto writer = OpenSqlite(f.path());
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES(randomblob(100))"));
    ASSERT_OK(f.Pump());
    EXPECT_EQ(f.capture->captured().position.seq.value, 2U + static_cast<unsigned>(i));
  }
  writer.reset();
  ExpectEqualCopies(f);
}

TEST(Capture, CountsCommitsOfARunExactly) {
  Follower f;
  ASSERT_OK(f.Open());
  auto writer = OpenSqlite(f.path());
  for (int i = 0; i < 100; ++i)
    ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES(randomblob(100))"));
  ASSERT_OK(f.Pump());
  EXPECT_EQ(f.capture->captured().position.seq.value, 101U);
  EXPECT_EQ(f.capture->counters().records, 2U) << "mount and one run";
}

TEST(Capture, WritesOneRecordPerCommitIfAskedTo) {
  Follower f;
  f.options.record_per_commit = true;
  ASSERT_OK(f.Open());
  auto writer = OpenSqlite(f.path());
  for (int i = 0; i < 10; ++i)
    ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES(randomblob(100))"));
  ASSERT_OK(f.Pump());
  ASSERT_OK(f.capture->CatchUp());
  EXPECT_EQ(f.capture->counters().records, 11U);
}

TEST(Capture, KeepsUpWithWritersThatUseEveryKindOfCheckpoint) {
  for (const char* mode : {"plain", "evil"}) {
    Follower f;
    ASSERT_OK(f.Open());
    ASSERT_OK(f.TakeBase());
    std::vector<std::unique_ptr<Script>> writers;
    for (int seed = 1; seed <= 3; ++seed)
      writers.push_back(std::make_unique<Script>(
          kWriterScript, std::vector<std::string>{f.path(), std::to_string(seed), "300", mode}));
    ASSERT_OK(f.PumpWhile(writers));
    uint64_t commits = 0;
    for (const auto& writer : writers) {
      EXPECT_EQ(writer->exit_code(), 0);
      commits += std::stoull(writer->Output());
    }
    const Counters counters = f.capture->counters();
    EXPECT_EQ(f.capture->captured().position.seq.value, commits + 1) << mode;
    EXPECT_EQ(counters.healing_records, 0U) << mode;
    EXPECT_GT(counters.wal_restarts, 0U) << mode;
    ExpectEqualCopies(f);
  }
}

TEST(Capture, FollowsVacuumThatShrinksAndGrowth) {
  Follower f(1024);
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  auto writer = OpenSqlite(f.path());
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(writer->Execute(
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<2000) "
        "INSERT INTO t(b) SELECT randomblob(700) FROM c"));
    ASSERT_OK(writer->Execute("DELETE FROM t WHERE a % 10 != 0"));
    if (round != 1) ASSERT_OK(f.Pump());
    ASSERT_OK(writer->Execute("VACUUM"));
    ASSERT_OK(
        writer->Execute("BEGIN; CREATE TABLE junk(x); INSERT INTO junk VALUES("
                        "zeroblob(500000)); DROP TABLE junk; COMMIT"));
    if (round == 2) ASSERT_OK(f.Pump());
  }
  writer.reset();
  ExpectEqualCopies(f);
}

TEST(Capture, GoesOnWhereItStoppedIfTheWalIsStillThere) {
  Follower f;
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  auto writer = OpenSqlite(f.path());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('one')"));
  ASSERT_OK(f.capture->Close());
  f.capture.reset();
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('two')"));
  f.options.term = base::Term(2);
  ASSERT_OK(f.Open());
  ASSERT_OK(f.Pump());
  EXPECT_EQ(f.capture->counters().healing_records, 0U);
  EXPECT_EQ(f.capture->captured().position, (base::Position{base::Term(2), base::Seq(4)}));
  writer.reset();
  ExpectEqualCopies(f);
}

TEST(Capture, FindsItsPlaceAgainAfterItWasTheLastToClose) {
  Follower f;
  ASSERT_OK(f.Open());
  auto writer = OpenSqlite(f.path());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('one')"));
  writer.reset();
  ASSERT_OK(f.capture->Close());
  f.capture.reset();
  ASSERT_OK(f.Open());
  EXPECT_EQ(f.capture->counters().healing_records, 0U);
  EXPECT_EQ(f.capture->captured().position.seq.value, 2U);
}

TEST(Capture, HealsWhatWasCommittedAndCheckpointedWhileItWasAway) {
  Follower f;
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  auto writer = OpenSqlite(f.path());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES(zeroblob(50000))"));
  ASSERT_OK(f.Pump());
  ASSERT_OK(f.capture->CatchUp());
  f.Crash();
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('lost?')"));
  ASSERT_OK(writer->Checkpoint("TRUNCATE").status());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('and this?')"));
  ASSERT_OK(f.Open());
  EXPECT_EQ(f.capture->counters().healing_records, 1U);
  EXPECT_LT(f.capture->counters().healed_pages, 5U);
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('after')"));
  ASSERT_OK(f.Pump());
  EXPECT_EQ(f.capture->captured().position.seq.value, 4U);
  writer.reset();
  ExpectEqualCopies(f);
  EXPECT_EQ(f.healing_records, 1);
}

TEST(Capture, LogsNothingWhenNothingHappenedWhileItWasAway) {
  Follower f;
  ASSERT_OK(f.Open());
  auto writer = OpenSqlite(f.path());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('one')"));
  ASSERT_OK(f.Pump());
  ASSERT_OK(f.capture->CatchUp());
  f.Crash();
  ASSERT_OK(writer->Checkpoint("TRUNCATE").status());
  ASSERT_OK(f.Open());
  EXPECT_EQ(f.capture->counters().healing_records, 0U);
  EXPECT_EQ(f.capture->captured().position.seq.value, 2U);
}

TEST(Capture, SurvivesCrashesInTheMiddleOfTheLoad) {
  Follower f;
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  std::vector<std::unique_ptr<Script>> writers;
  for (int seed = 1; seed <= 2; ++seed)
    writers.push_back(std::make_unique<Script>(
        kWriterScript, std::vector<std::string>{f.path(), std::to_string(seed), "600", "evil"}));
  for (int crash = 0; crash < 6; ++crash) {
    const base::Seq goal(f.capture->captured().position.seq.value + 50);
    while (f.capture->captured().position.seq < goal && !writers[0]->IsDone()) {
      f.capture->WaitForChange(milliseconds(2));
      ASSERT_OK(f.capture->RunOnce(env::PosixEnv().Now()).status());
    }
    f.Crash();
    f.options.term = f.options.term.Next();
    ASSERT_OK(f.Open());
  }
  ASSERT_OK(f.PumpWhile(writers));
  for (const auto& writer : writers) EXPECT_EQ(writer->exit_code(), 0);
  ExpectEqualCopies(f);
}

TEST(Capture, LetsTheWalRestartUnderConstantLoad) {
  Follower f;
  f.options.wal_frames_max = 500;
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  // No autocheckpoint: without a forced rotation this WAL would only grow.
  std::vector<std::unique_ptr<Script>> writers;
  writers.push_back(std::make_unique<Script>(R"(
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
c.execute('pragma synchronous=normal'); c.execute('pragma wal_autocheckpoint=0')
for i in range(20000): c.execute('insert into t(b) values(?)', (i,))
print(20000)
)",
                                             std::vector<std::string>{f.path()}));
  ASSERT_OK(f.PumpWhile(writers));
  const Counters counters = f.capture->counters();
  EXPECT_GT(counters.wal_restarts, 0U)
      << counters.rotations_forced << " rotations were forced, " << counters.rotations_failed
      << " failed, left by K " << counters.left_by_k << ", by Z " << counters.left_by_z;
  EXPECT_EQ(f.capture->captured().position.seq.value, 20001U);
  ExpectEqualCopies(f);
}

// With SQLite's own autocheckpoint: in the rush its checkpoints are held off, and when the rush is
// over what they would have done is done.
TEST(Capture, HoldsCheckpointsOffInARushAndMakesThemItself) {
  Follower f;
  f.options.idle_checkpoint_after = milliseconds(200);  // for a rest too small to be held off
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  std::vector<std::unique_ptr<Script>> writers;
  writers.push_back(std::make_unique<Script>(R"(
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
c.execute('pragma synchronous=off')
for i in range(30000): c.execute('insert into t(b) values(?)', (i,))
# An open connection: nothing is checkpointed because it closes.
print(30000, flush=True); sys.stdin.read()
)",
                                             std::vector<std::string>{f.path()}));
  const base::SteadyTime deadline = env::PosixEnv().Now() + kTestLimit;
  while (f.capture->captured().position.seq.value < 30001 || f.capture->counters().pin != "K") {
    ASSERT_LT(env::PosixEnv().Now(), deadline) << f.capture->counters().pin;
    f.capture->WaitForChange(milliseconds(2));
    ASSERT_OK(f.capture->RunOnce(env::PosixEnv().Now()).status());
  }
  const Counters counters = f.capture->counters();
  EXPECT_GT(counters.wal_restarts, 0U);
  EXPECT_EQ(counters.healing_records, 0U);
  writers.clear();
  ExpectEqualCopies(f);
}

TEST(Capture, ReadsPagesExactlyAtTheCapturedPosition) {
  Follower f;
  ASSERT_OK(f.Open());
  std::vector<std::unique_ptr<Script>> writers;
  writers.push_back(std::make_unique<Script>(
      kWriterScript, std::vector<std::string>{f.path(), "1", "500", "evil"}));
  while (!writers[0]->IsDone()) {
    base::Bytes out(64 * 4096);
    auto run = f.capture->ReadPages(base::PageNo(1), 64, out);
    ASSERT_OK(run.status());
    EXPECT_EQ(run->count, std::min(64U, run->at.pages));
    ASSERT_OK(f.capture->RunOnce(env::PosixEnv().Now()).status());
  }
  EXPECT_EQ(f.capture->counters().healing_records, 0U);
}

TEST(Capture, SnapshotIsThePagesAtItsPosition) {
  Follower f;
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  std::vector<std::unique_ptr<Script>> writers;
  writers.push_back(std::make_unique<Script>(
      kWriterScript, std::vector<std::string>{f.path(), "1", "400", "plain"}));
  while (f.capture->captured().position.seq.value < 200 && !writers[0]->IsDone()) {
    f.capture->WaitForChange(milliseconds(2));
    ASSERT_OK(f.capture->RunOnce(env::PosixEnv().Now()).status());
  }
  auto snapshot = f.capture->OpenSnapshot(/*with_hashes=*/true);
  ASSERT_OK(snapshot.status());
  ASSERT_OK(f.PumpWhile(writers));  // goes on under the snapshot
  EXPECT_EQ(snapshot->reader->pages(), snapshot->at.pages);
  log::PageTable table;
  base::Bytes page(4096);
  for (uint32_t i = 1; i <= snapshot->reader->pages(); ++i) {
    ASSERT_OK(snapshot->reader->ReadPages(base::PageNo(i), 1, page));
    table.Set(base::PageNo(i), log::HashPage(base::PageNo(i), page));
  }
  EXPECT_EQ(table.checksum(), snapshot->at.checksum);
  EXPECT_EQ(table.hashes(), snapshot->hashes);
}

TEST(Capture, SaysThatTheFileWasReplacedOrDeleted) {
  Follower f;
  ASSERT_OK(f.Open());
  const auto later = [] { return env::PosixEnv().Now() + std::chrono::hours(1); };
  std::filesystem::copy_file(f.path(), f.directory.File("other"));
  std::filesystem::rename(f.directory.File("other"), f.path());
  auto result = f.capture->RunOnce(later());
  EXPECT_EQ(result.status().code(), base::Code::kDiverged);
  EXPECT_THAT(result.status().message(), testing::HasSubstr(f.path() + " was replaced"));
  EXPECT_EQ(f.capture->RunOnce(later()).status().code(), base::Code::kDiverged) << "sticky";

  Follower g;
  ASSERT_OK(g.Open());
  std::filesystem::remove(g.path());
  EXPECT_EQ(g.capture->RunOnce(later()).status().code(), base::Code::kNotFound);
}

TEST(Capture, CheckpointsAnIdleWalThatNobodyElseCheckpoints) {
  Follower f;
  f.options.idle_checkpoint_after = milliseconds(0);
  auto writer = OpenSqlite(f.path());  // never checkpoints
  ASSERT_OK(f.Open());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES(zeroblob(20000))"));
  ASSERT_OK(f.Pump());
  ASSERT_OK(f.Pump());
  EXPECT_EQ(f.capture->counters().idle_checkpoints, 1U);
  EXPECT_EQ(f.capture->counters().pin, "K");
  const uint64_t bytes = f.capture->counters().wal_bytes;
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('x')"));
  EXPECT_LT(f.capture->counters().wal_bytes, bytes) << "the WAL began anew";
}

TEST(Capture, ShortensALongWalOnceTheDatabaseIsIdle) {
  Follower f;
  f.options.wal_frames_max = 10;
  f.options.idle_checkpoint_after = milliseconds(0);
  auto writer = OpenSqlite(f.path());
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES(zeroblob(200000))"));
  const base::SteadyTime deadline = env::PosixEnv().Now() + kTestLimit;
  while (std::filesystem::file_size(f.path() + "-wal") > 0) {
    ASSERT_LT(env::PosixEnv().Now(), deadline) << f.capture->counters().pin;
    ASSERT_OK(f.capture->RunOnce(env::PosixEnv().Now()).status());
  }
  EXPECT_EQ(f.capture->counters().pin, "K");
  ASSERT_OK(writer->Execute("INSERT INTO t(b) VALUES('after')"));
  ASSERT_OK(f.Pump());
  EXPECT_EQ(f.capture->captured().position.seq.value, 3U);
  EXPECT_EQ(f.capture->counters().healing_records, 0U);
  writer.reset();
  ExpectEqualCopies(f);
}

TEST(Capture, RefusesALowerTerm) {
  Follower f;
  f.options.term = base::Term(3);
  ASSERT_OK(f.Open());
  f.capture.reset();
  f.options.term = base::Term(2);
  EXPECT_EQ(f.Open().code(), base::Code::kFenced);
}

// The commit is several times the scan window; so is what a VACUUM of a large database writes.
TEST(Capture, CapturesACommitLargerThanItsWindow) {
  Follower f;
  f.options.image_cache_bytes = 1 << 20;
  ASSERT_OK(f.Open());
  ASSERT_OK(f.TakeBase());
  auto writer = OpenSqlite(f.path());
  ASSERT_OK(
      writer->Execute("WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<4000) "
                      "INSERT INTO t(b) SELECT randomblob(3000) FROM c"));
  ASSERT_OK(f.Pump());
  EXPECT_EQ(f.capture->captured().position.seq.value, 2U);
  ASSERT_OK(writer->Execute("VACUUM"));
  ASSERT_OK(f.Pump());
  writer.reset();
  ExpectEqualCopies(f);
}

}  // namespace
}  // namespace understudy::capture
