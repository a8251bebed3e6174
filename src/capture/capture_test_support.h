// SPDX-License-Identifier: Apache-2.0
// For capture's tests: writers in processes of their own (POSIX locks are per process), and a copy
// made from nothing but pages read once and the log. Threading: confined to the test's thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "capture/capture.h"
#include "testing/temp_dir.h"

namespace understudy::capture {

inline constexpr auto kTestLimit = std::chrono::seconds(50);

// A python3 process running a script with arguments; killed at the end if it still runs.
class Script {
 public:
  Script(const std::string& script, const std::vector<std::string>& arguments) {
    int pipe_ends[2];
    CHECK(::pipe(pipe_ends) == 0);
    process_ = ::fork();
    CHECK(process_ >= 0);
    if (process_ == 0) {
      ::dup2(pipe_ends[1], 1);
      ::close(pipe_ends[0]);
      ::close(pipe_ends[1]);
      std::vector<const char*> argv = {"python3", "-c", script.c_str()};
      for (const std::string& argument : arguments) argv.push_back(argument.c_str());
      argv.push_back(nullptr);
      ::execvp("python3", const_cast<char* const*>(argv.data()));
      ::_exit(127);
    }
    ::close(pipe_ends[1]);
    output_ = pipe_ends[0];
  }
  ~Script() {
    if (!done_) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    ::close(output_);
  }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  // Without waiting.
  bool IsDone() {
    if (done_) return true;
    int how = 0;
    done_ = ::waitpid(process_, &how, WNOHANG) == process_;
    if (done_) exit_code_ = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    return done_;
  }
  void Kill(int signal) { ::kill(process_, signal); }
  // REQUIRES: IsDone().
  int exit_code() const { return exit_code_; }
  // What it printed (less than a pipe holds).
  std::string Output() {
    std::string text(65536, '\0');
    const ssize_t got = ::read(output_, text.data(), text.size());
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }

 private:
  pid_t process_ = -1;
  int output_ = -1;
  bool done_ = false;
  int exit_code_ = -1;
};

// Arguments: path, seed, transactions, mode. Prints how many transactions changed something.
inline constexpr const char* kWriterScript = R"(
import sqlite3, sys, random, os
path, seed, count, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
r = random.Random(seed)
def connect():
    c = sqlite3.connect(path, timeout=30, isolation_level=None)
    c.execute('pragma synchronous=' + ('full' if mode == 'full' else 'normal'))
    return c
c = connect()
n = 0
def attempt(sql):
    global n
    try:
        before = c.total_changes
        c.execute(sql).fetchall()
        return True
    except sqlite3.OperationalError as e:
        if 'locked' not in str(e): raise
        return False
for i in range(count):
    c.execute('begin immediate')
    for _ in range(r.choice([1, 1, 1, 5, 50])):
        c.execute('insert or replace into t values(?,?)',
                  (r.randrange(20000), os.urandom(r.choice([50, 100, 3000]))))
    if r.random() > .05:
        c.execute('commit'); n += 1
    else:
        c.execute('rollback')
    if mode == 'evil':
        if r.random() < .02:
            how = r.choice(['passive', 'full', 'restart', 'truncate'])
            attempt('pragma wal_checkpoint(%s)' % how)
        if r.random() < .005:
            c.close(); c = connect()
        if r.random() < .002:
            c.execute('delete from t where a < 10000'); n += 1
            if attempt('vacuum'): n += 1
print(n)
)";

inline std::unique_ptr<sqlite::Connection> OpenSqlite(const std::string& path) {
  auto connection = sqlite::Connection::Open(
      path, {.create = true, .busy_timeout = std::chrono::seconds(10), .vfs = ""});
  CHECK(connection.ok());
  return std::move(connection).value();
}

inline std::string FileBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

#define ASSERT_OK(expression)                    \
  do {                                           \
    const base::Status us_ok = (expression);     \
    ASSERT_TRUE(us_ok.ok()) << us_ok.ToString(); \
  } while (false)
#define EXPECT_OK(expression)                    \
  do {                                           \
    const base::Status us_ok = (expression);     \
    EXPECT_TRUE(us_ok.ok()) << us_ok.ToString(); \
  } while (false)

// A database in a directory of its own with its log, and at most one Capture on it.
class Follower {
 public:
  explicit Follower(uint32_t page_size = 4096) {
    auto connection = OpenSqlite(path());
    CHECK(connection->Execute("PRAGMA page_size=" + std::to_string(page_size)).ok());
    CHECK(connection->Execute("PRAGMA journal_mode=WAL").ok());
    CHECK(connection->Execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b)")
              .ok());
    OpenLog();
    options.path = path();
    options.database.bytes[0] = 7;
    options.term = base::Term(1);
    options.checkpoint_path = directory.File("checkpoint");
  }

  std::string path() const { return directory.File("a.db"); }
  void OpenLog() {
    log::LogStore::Options log_options;
    log_options.directory = directory.File("log");
    log_options.database.bytes[0] = 7;
    auto opened = log::LogStore::Open(env::PosixEnv(), log_options);
    CHECK(opened.ok());
    log = std::move(opened).value();
  }
  base::Status Open() {
    auto opened = Capture::Open(env::PosixEnv(), options, *log);
    RETURN_IF_ERROR(opened.status());
    capture = std::move(opened).value();
    return base::Status();
  }
  // Ends capture as a crash would: nothing is saved.
  void Crash() {
    capture.reset();
    log.reset();
    OpenLog();
  }
  base::Status Pump() {
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, capture->RunOnce(env::PosixEnv().Now()));
      if (!more) return base::Status();
    }
  }
  // Follows until the scripts are done.
  base::Status PumpWhile(std::vector<std::unique_ptr<Script>>& scripts) {
    const base::SteadyTime deadline = env::PosixEnv().Now() + kTestLimit;
    for (bool running = true; running;) {
      if (env::PosixEnv().Now() > deadline) return base::TimedOut("the writers take too long");
      running = false;
      for (const auto& script : scripts) running = !script->IsDone() || running;
      capture->WaitForChange(std::chrono::milliseconds(2));
      RETURN_IF_ERROR(capture->RunOnce(env::PosixEnv().Now()).status());
    }
    return capture->CatchUp();
  }
  // Remembers the pages at the current position: what ApplyLog starts from.
  base::Status TakeBase() {
    base::Bytes pages(size_t{1} << 24);
    pages.resize(pages.size() / capture->page_size() * capture->page_size());
    ASSIGN_OR_RETURN(
        const Capture::PageRun run,
        capture->ReadPages(base::PageNo(1),
                           static_cast<uint32_t>(pages.size() / capture->page_size()), pages));
    pages.resize(size_t{run.count} * capture->page_size());
    copy = std::move(pages);
    copy_at = run.at.position.seq;
    return base::Status();
  }
  // Brings `copy` to the end of the log with what the log alone says.
  base::Status ApplyLog() {
    const uint32_t page_size = capture->page_size();
    RETURN_IF_ERROR(capture->CatchUp());
    ASSIGN_OR_RETURN(const std::unique_ptr<log::LogReader> reader, log->ReadAfter(copy_at));
    log::EntryDecoder decoder;
    base::Bytes out(page_size);
    for (;;) {
      ASSIGN_OR_RETURN(const std::optional<log::LogReader::Item> item, reader->Next());
      if (!item) return base::Status();
      const log::PartHeader& header = item->part.header;
      if ((header.flags & log::kRecordHealing) != 0 && header.last()) ++healing_records;
      for (const log::Entry& entry : item->part.entries) {
        const size_t at = size_t{entry.page.value - 1} * page_size;
        if (copy.size() < at + page_size) copy.resize(at + page_size);
        RETURN_IF_ERROR(decoder.Decode(entry, base::ByteView(copy).subspan(at, page_size), out));
        std::copy(out.begin(), out.end(), copy.begin() + static_cast<ptrdiff_t>(at));
      }
      if (header.last()) {
        copy.resize(size_t{header.pages_after} * page_size);
        copy_at = header.seq_last;
      }
    }
  }
  // The file after capture is gone and everything was checkpointed.
  std::string SourceBytes() {
    CHECK(capture == nullptr);
    auto connection = OpenSqlite(path());
    CHECK(connection->QueryInt("SELECT count(*) FROM sqlite_schema").ok());
    CHECK(connection->Checkpoint("TRUNCATE").ok());
    return FileBytes(path());
  }
  std::string CopyBytes() const { return {copy.begin(), copy.end()}; }

  test::TempDir directory;
  Options options;
  std::unique_ptr<log::LogStore> log;
  std::unique_ptr<Capture> capture;
  base::Bytes copy;
  base::Seq copy_at;
  int healing_records = 0;
};

}  // namespace understudy::capture
