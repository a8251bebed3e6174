// SPDX-License-Identifier: Apache-2.0
// PassiveWal beside real SQLite: an *active* database is written with SQL, its pages are taken over
// page by page into the passive one, and ordinary readers (this process, and python3 processes)
// look at that.
#include "sqlite/passive_wal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "testing/temp_dir.h"

extern char** environ;

namespace understudy::sqlite {
namespace {

using base::Bytes;
using base::PageNo;
using ::testing::HasSubstr;

// The active side: a database whose committed pages are compared with the last ones taken.
class Active {
 public:
  Active(const std::string& path, uint32_t page_size = 4096) : path_(path) {
    auto opened = Connection::Open(path, {.create = true, .vfs = ""});
    CHECK(opened.ok());
    db_ = std::move(opened).value();
    Run("PRAGMA page_size=" + std::to_string(page_size));
    Run("PRAGMA journal_mode=WAL");
    Run("CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, body BLOB)");
    Run("CREATE INDEX t_k ON t(k)");
  }
  void Run(const std::string& sql) {
    const auto status = db_->Execute(sql);
    if (!status.ok()) ADD_FAILURE() << status.ToString();
  }
  void Insert(int rows, int body = 400) {
    Run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
        std::to_string(rows) +
        ") INSERT INTO t(k, body) SELECT abs(random()) % 100000, "
        "randomblob(" +
        std::to_string(body) + ") FROM n");
  }
  // Pages that differ from those of the last call; the size in pages is pages().
  std::map<uint32_t, Bytes> TakeChanges() {
    CHECK(db_->Checkpoint("TRUNCATE").ok());
    std::ifstream file(path_, std::ios::binary);  // nobody else locks this one in this process
    Bytes all(std::filesystem::file_size(path_));
    CHECK(file.read(reinterpret_cast<char*>(all.data()), std::ssize(all)));
    page_size_ = (all[16] << 8 | all[17]) == 1 ? 65536U : uint32_t(all[16] << 8 | all[17]);
    pages_ = static_cast<uint32_t>(all.size() / page_size_);
    std::map<uint32_t, Bytes> changed;
    for (uint32_t page = 1; page <= pages_; ++page) {
      Bytes image(all.begin() + std::ptrdiff_t(page - 1) * page_size_,
                  all.begin() + std::ptrdiff_t(page) * page_size_);
      if (last_[page] != image) {
        last_[page] = image;
        changed[page] = std::move(image);
      }
    }
    last_.erase(last_.upper_bound(pages_), last_.end());
    return changed;
  }
  uint32_t pages() const { return pages_; }
  const std::map<uint32_t, Bytes>& images() const { return last_; }

 private:
  const std::string path_;
  std::unique_ptr<Connection> db_;
  std::map<uint32_t, Bytes> last_;
  uint32_t page_size_ = 0;
  uint32_t pages_ = 0;
};

class PassiveWalTest : public ::testing::Test {
 protected:
  // Makes the passive database as a copy of the active one, then opens it.
  void Start(uint32_t page_size = 4096) {
    active_ = std::make_unique<Active>(dir_.File("active.db"), page_size);
    active_->Insert(50);
    active_->TakeChanges();
    std::filesystem::copy_file(dir_.File("active.db"), passive_path());
    OpenPassive();
    ASSERT_TRUE(wal_->SetReadOnlyMark(true).ok());
  }
  void OpenPassive() {
    auto opened = PassiveWal::Open(env::PosixEnv(),
                                   {.path = passive_path(), .wal_bytes_kept = wal_bytes_kept_});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    wal_ = std::move(opened).value();
  }
  // Carries what changed on the active over to the passive, in one commit.
  void Carry() {
    const auto changed = active_->TakeChanges();
    for (const auto& [page, image] : changed) Ok(wal_->AppendPage(PageNo(page), image));
    Ok(wal_->Commit(active_->pages()));
  }
  static void Ok(const base::Status& status) { ASSERT_TRUE(status.ok()) << status.ToString(); }
  void ExpectEqual() {
    Bytes page(wal_->page_size());
    ASSERT_EQ(wal_->pages(), active_->pages());
    for (const auto& [number, image] : active_->images()) {
      Ok(wal_->ReadPage(PageNo(number), page));
      ASSERT_EQ(page, image) << "page " << number;
    }
  }
  std::unique_ptr<Connection> Reader() {
    auto opened = Connection::Open(passive_path(), {});
    CHECK(opened.ok());
    return std::move(opened).value();
  }
  static int64_t Count(Connection& db) { return db.QueryInt("SELECT count(*) FROM t").value(); }
  void ExpectSound(Connection& db) {
    EXPECT_EQ(db.QueryText("PRAGMA integrity_check").value(), "ok");
    EXPECT_EQ(Count(db), db.QueryInt("SELECT count(k) FROM t INDEXED BY t_k").value());
  }
  std::string passive_path() const { return dir_.File("passive.db"); }

  test::TempDir dir_;
  std::unique_ptr<Active> active_;
  std::unique_ptr<PassiveWal> wal_;
  uint64_t wal_bytes_kept_ = PassiveWal::Options().wal_bytes_kept;
};

TEST_F(PassiveWalTest, ReadersSeeCommitsAndKeepTheirSnapshot) {
  Start();
  auto reader = Reader();
  Ok(reader->Execute("BEGIN"));
  EXPECT_EQ(Count(*reader), 50);
  active_->Insert(25);
  Carry();
  EXPECT_EQ(Count(*reader), 50);
  Ok(reader->Execute("COMMIT"));
  EXPECT_EQ(Count(*reader), 75);
  ExpectSound(*reader);
  ExpectEqual();
}

TEST_F(PassiveWalTest, StockSqliteRefusesToWrite) {
  Start();
  auto db = Reader();
  for (const char* sql : {"INSERT INTO t(k) VALUES (1)", "VACUUM", "PRAGMA user_version=7",
                          "CREATE TABLE u(a)", "DELETE FROM t"}) {
    EXPECT_THAT(db->Execute(sql).ToString(), HasSubstr("readonly")) << sql;
  }
  db->Execute("PRAGMA journal_mode=DELETE").IgnoreError();
  EXPECT_EQ(db->QueryText("PRAGMA journal_mode").value(), "wal");
  ExpectSound(*db);
}

TEST_F(PassiveWalTest, MarkFencesALiveWriterAndComesOffAgain) {
  active_ = std::make_unique<Active>(dir_.File("passive.db"));
  active_->Insert(5);
  OpenPassive();
  EXPECT_FALSE(wal_->read_only_mark());
  auto writer = Reader();
  EXPECT_EQ(Count(*writer), 5);
  Ok(wal_->SetReadOnlyMark(true));
  EXPECT_THAT(writer->Execute("INSERT INTO t(k) VALUES (1)").ToString(), HasSubstr("readonly"));
  Ok(wal_->SetReadOnlyMark(false));
  wal_.reset();
  auto again = Reader();
  Ok(again->Execute("INSERT INTO t(k) VALUES (1)"));
  EXPECT_EQ(Count(*again), 6);
}

TEST_F(PassiveWalTest, OpenIsRefusedWhileSomebodyWrites) {
  active_ = std::make_unique<Active>(dir_.File("passive.db"));
  auto writer = Reader();
  Ok(writer->Execute("BEGIN IMMEDIATE"));
  const auto opened = PassiveWal::Open(env::PosixEnv(), {.path = passive_path()});
  EXPECT_EQ(opened.status().code(), base::Code::kBusy);
}

TEST_F(PassiveWalTest, RollbackJournalDatabaseIsRefused) {
  auto db = Connection::Open(passive_path(), {.create = true, .vfs = ""})
                .value()
                ->Execute("CREATE TABLE t(a)");
  Ok(db);
  const auto opened = PassiveWal::Open(env::PosixEnv(), {.path = passive_path()});
  EXPECT_EQ(opened.status().code(), base::Code::kInvalidArgument);
}

TEST_F(PassiveWalTest, GrowsAndShrinksThroughSeveralIndexRegions) {
  Start();
  auto reader = Reader();
  active_->Insert(60000, 300);
  Carry();
  EXPECT_GT(wal_->wal_frames(), 4062U);
  EXPECT_EQ(Count(*reader), 60050);
  active_->Run("UPDATE t SET k = k + 1");
  Carry();
  EXPECT_GT(wal_->wal_frames(), 4062U + 4096U);
  ExpectEqual();
  active_->Run("DELETE FROM t WHERE id > 1000");
  active_->Run("VACUUM");
  Carry();
  ExpectEqual();
  EXPECT_EQ(Count(*reader), 1000);
  ExpectSound(*reader);
  const auto done = wal_->Checkpoint();
  ASSERT_TRUE(done.ok() && done->complete) << done.status().ToString();
  active_->Insert(30000);
  Carry();
  EXPECT_EQ(wal_->restarts(), 1U);
  ExpectEqual();
  ExpectSound(*reader);
}

TEST_F(PassiveWalTest, ReaderKeepsTheWalFromRestarting) {
  Start();
  auto reader = Reader();
  active_->Insert(10);
  Carry();
  Ok(reader->Execute("BEGIN"));
  EXPECT_EQ(Count(*reader), 60);
  for (int i = 0; i < 5; ++i) {
    active_->Insert(10);
    Carry();
    const auto done = wal_->Checkpoint();
    ASSERT_TRUE(done.ok());
    EXPECT_FALSE(done->complete);
    EXPECT_EQ(Count(*reader), 60);
  }
  EXPECT_EQ(wal_->restarts(), 0U);
  Ok(reader->Execute("COMMIT"));
  ASSERT_TRUE(wal_->Checkpoint()->complete);
  active_->Insert(10);
  Carry();
  EXPECT_EQ(wal_->restarts(), 1U);
  EXPECT_EQ(Count(*reader), 120);
  ExpectSound(*reader);
  ExpectEqual();
}

TEST_F(PassiveWalTest, ReaderOfTheDatabaseFileSurvivesARestart) {
  Start();
  ASSERT_TRUE(wal_->Checkpoint()->complete);
  auto reader = Reader();
  Ok(reader->Execute("BEGIN"));
  EXPECT_EQ(Count(*reader), 50);  // on READ_LOCK(0)
  for (int i = 0; i < 3; ++i) {
    active_->Insert(500);
    Carry();
    EXPECT_FALSE(wal_->Checkpoint()->complete);
  }
  EXPECT_EQ(wal_->restarts(), 1U);
  EXPECT_EQ(Count(*reader), 50);
  ExpectSound(*reader);
  Ok(reader->Execute("COMMIT"));
  EXPECT_EQ(Count(*reader), 1550);
}

TEST_F(PassiveWalTest, CutsALongWalOffWhenItBeginsAnew) {
  wal_bytes_kept_ = 100'000;
  Start();
  const std::string wal_path = passive_path() + "-wal";
  active_->Insert(2000);
  Carry();
  const uint64_t long_bytes = std::filesystem::file_size(wal_path);
  ASSERT_GT(long_bytes, wal_bytes_kept_);
  ASSERT_TRUE(wal_->Checkpoint()->complete);
  active_->Insert(1);
  Carry();
  EXPECT_LT(std::filesystem::file_size(wal_path), wal_bytes_kept_);
  EXPECT_EQ(wal_->restarts(), 1U);
  ASSERT_TRUE(wal_->Checkpoint()->complete);
  const uint64_t short_bytes = std::filesystem::file_size(wal_path);
  active_->Insert(1);
  Carry();
  EXPECT_EQ(wal_->restarts(), 2U);
  EXPECT_GE(std::filesystem::file_size(wal_path), short_bytes) << "a short one is overwritten";
  auto reader = Reader();
  EXPECT_EQ(Count(*reader), 2052);
  ExpectSound(*reader);
  ExpectEqual();
}

TEST_F(PassiveWalTest, AbandonLeavesNoTrace) {
  Start();
  active_->Insert(10);
  Carry();
  const auto before = wal_->wal_frames();
  // More than kPendingBytesMax, so that some of it has spilled to the WAL and the index.
  Bytes junk(4096, 0xee);
  for (uint32_t page = 2; page < 2000; ++page) Ok(wal_->AppendPage(PageNo(page), junk));
  EXPECT_GT(wal_->wal_frames(), before);
  Bytes page(4096);
  Ok(wal_->ReadPage(PageNo(2), page));
  EXPECT_EQ(page, junk);
  Ok(wal_->ReadPage(PageNo(1999), page));
  EXPECT_EQ(page, junk);
  auto reader = Reader();
  EXPECT_EQ(Count(*reader), 60);
  Ok(wal_->Abandon());
  EXPECT_EQ(wal_->wal_frames(), before);
  ExpectEqual();
  active_->Insert(10);
  Carry();
  ExpectEqual();
  EXPECT_EQ(Count(*reader), 70);
  ExpectSound(*reader);
}

TEST_F(PassiveWalTest, PagesAppendedTwiceBeforeACommitTakeOneFrame) {
  Start();
  const auto before = wal_->wal_frames();
  Bytes page(4096);
  Ok(wal_->ReadPage(PageNo(2), page));
  for (int i = 0; i < 10; ++i) Ok(wal_->AppendPage(PageNo(2), page));
  Ok(wal_->Commit(wal_->pages()));
  EXPECT_EQ(wal_->wal_frames(), before + 1);
}

TEST_F(PassiveWalTest, WorksWithEveryPageSize) {
  for (const uint32_t page_size : {512U, 1024U, 65536U}) {
    wal_.reset();
    active_.reset();
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
      std::filesystem::remove(entry.path());
    Start(page_size);
    active_->Insert(300);
    Carry();
    ExpectEqual();
    auto reader = Reader();
    EXPECT_EQ(Count(*reader), 350);
    ExpectSound(*reader);
    ASSERT_TRUE(wal_->Checkpoint()->complete);
    active_->Insert(300);
    Carry();
    ExpectEqual();
    ExpectSound(*reader);
  }
}

TEST_F(PassiveWalTest, ReopenedDatabaseHasWhatWasCommitted) {
  Start();
  active_->Insert(2000);
  Carry();
  wal_.reset();  // the last one: SQLite checkpoints and removes the WAL
  EXPECT_FALSE(std::filesystem::exists(passive_path() + "-wal"));
  OpenPassive();
  EXPECT_TRUE(wal_->read_only_mark());
  ExpectEqual();
  auto reader = Reader();
  active_->Insert(10);
  Carry();
  EXPECT_EQ(Count(*reader), 2060);
  wal_.reset();  // not the last one: the WAL stays
  EXPECT_TRUE(std::filesystem::exists(passive_path() + "-wal"));
  OpenPassive();
  active_->Insert(10);
  Carry();
  EXPECT_EQ(Count(*reader), 2070);
  ExpectSound(*reader);
  ExpectEqual();
}

// A child that dies by SIGKILL at a random point of appending, beside a reader in this process.
TEST_F(PassiveWalTest, KilledWriterLeavesAConsistentDatabase) {
  Start();
  wal_.reset();
  std::vector<std::map<uint32_t, Bytes>> batches;
  std::vector<uint32_t> sizes;
  for (int i = 0; i < 30; ++i) {
    active_->Insert(i % 7 == 3 ? 4000 : 20);
    batches.push_back(active_->TakeChanges());
    sizes.push_back(active_->pages());
  }
  size_t from = 0;
  for (int round = 0; round < 8 && from < batches.size(); ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto wal = PassiveWal::Open(env::PosixEnv(), {.path = passive_path()}).value();
      for (size_t i = from; i < batches.size(); ++i) {
        for (const auto& [page, image] : batches[i]) {
          if (!wal->AppendPage(PageNo(page), image).ok()) ::_exit(3);
        }
        if (!wal->Commit(sizes[i]).ok()) ::_exit(4);
        const char done = 1;
        if (::write(pipe_ends[1], &done, 1) != 1) ::_exit(5);
        if (i % 5 == 4 && !wal->Checkpoint().ok()) ::_exit(6);
      }
      ::pause();
    }
    ::close(pipe_ends[1]);
    size_t committed = from;
    for (int i = 0; i <= round; ++i) {
      char done = 0;
      if (committed < batches.size() && ::read(pipe_ends[0], &done, 1) == 1) ++committed;
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
    char done = 0;
    while (::read(pipe_ends[0], &done, 1) == 1) ++committed;
    ::close(pipe_ends[0]);
    auto reader = Reader();
    ExpectSound(*reader);
    from = committed;
    // The very next one may have been committed without having been reported.
    OpenPassive();
    if (from < batches.size()) {
      for (const auto& [page, image] : batches[from]) Ok(wal_->AppendPage(PageNo(page), image));
      Ok(wal_->Commit(sizes[from]));
      ++from;
    }
    wal_.reset();
  }
  OpenPassive();
  for (; from < batches.size(); ++from) {
    for (const auto& [page, image] : batches[from]) Ok(wal_->AppendPage(PageNo(page), image));
    Ok(wal_->Commit(sizes[from]));
  }
  ExpectEqual();
}

// Readers in other processes, which open, check and close again and again.
constexpr const char* kReaderScript = R"(
import sqlite3, sys
path, stop = sys.argv[1], sys.argv[2]
import os
rounds = 0
while not os.path.exists(stop):
    db = sqlite3.connect(path, timeout=20)
    for _ in range(5):
        db.execute("BEGIN")
        a = db.execute("SELECT count(*), total(k) FROM t NOT INDEXED").fetchone()
        b = db.execute("SELECT count(k), total(k) FROM t INDEXED BY t_k").fetchone()
        c = db.execute("PRAGMA quick_check").fetchone()[0]
        db.execute("COMMIT")
        if a != b or c != "ok":
            print("WRONG", a, b, c); sys.exit(1)
        rounds += 1
    db.close()
print("rounds", rounds)
)";

TEST_F(PassiveWalTest, ReadersOfOtherProcessesNeverSeeAMixture) {
  Start();
  std::ofstream(dir_.File("reader.py")) << kReaderScript;
  std::vector<pid_t> readers(2);
  for (pid_t& pid : readers) {
    const std::string script = dir_.File("reader.py");
    const std::string path = passive_path();
    const std::string stop = dir_.File("stop");
    const char* argv[] = {"python3", script.c_str(), path.c_str(), stop.c_str(), nullptr};
    ASSERT_EQ(::posix_spawnp(&pid, "python3", nullptr, nullptr, const_cast<char**>(argv), environ),
              0);
  }
  for (int i = 0; i < 400; ++i) {
    if (i % 20 == 7) active_->Run("DELETE FROM t WHERE id % 3 = 0");
    if (i % 50 == 49) active_->Run("VACUUM");
    active_->Insert(i % 20 == 0 ? 500 : 5);
    Carry();
    if (i % 10 == 9) {
      EXPECT_TRUE(wal_->Checkpoint().ok());
    }
  }
  std::ofstream(dir_.File("stop")) << "now";
  for (const pid_t pid : readers) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  ExpectEqual();
  EXPECT_GT(wal_->restarts(), 0U);
}

}  // namespace
}  // namespace understudy::sqlite
