// SPDX-License-Identifier: Apache-2.0
// How fast a passive copy replays, alone and with two readers (python3) that count over a table and
// its index and run quick_check all the time. The log is made from the WAL of a real database.
//   replay_bench [rows in the table, default 300000]
// Prints MB/s of page images that readers see applied; more is better.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "log/record_encoder.h"
#include "replay/replayer.h"
#include "sqlite/connection.h"
#include "sqlite/wal_format.h"
#include "testing/temp_dir.h"

namespace understudy {
namespace {

using base::PageNo;

void Must(const base::Status& status) {
  if (!status.ok()) {
    fmt::print(stderr, "{}\n", status.ToString());
    std::exit(1);
  }
}

constexpr uint32_t kPageBytes = 4096;
constexpr size_t kWalBytesMax = size_t{4} << 30;

// An active database whose WAL becomes log, one record a commit.
class Source final : public log::PartSink {
 public:
  explicit Source(int rows) {
    id_.bytes[0] = 1;
    db_ = std::move(
        sqlite::Connection::Open(dir_.File("active.db"), {.create = true, .vfs = ""}).value());
    Sql("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF");
    Sql("CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, body BLOB)");
    Sql("CREATE INDEX t_k ON t(k)");
    // Half of a body compresses.
    Sql(
        fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
                    "INSERT INTO t(k, body) SELECT abs(random()) % 1000000, "
                    "CAST(randomblob(200) || zeroblob(200) AS BLOB) FROM n",
                    rows));
    Must(db_->Checkpoint("TRUNCATE").status());
    std::filesystem::copy_file(dir_.File("active.db"), dir_.File("seed.db"));
    auto file = env::PosixEnv().Open(dir_.File("seed.db"), env::OpenMode::kRead).value();
    base::Bytes image(kPageBytes);
    for (uint32_t page = 1; file->ReadAt(uint64_t{page - 1} * kPageBytes, image).value() != 0;
         ++page) {
      table_.Set(PageNo(page), log::HashPage(PageNo(page), image));
    }
    store_ = log::LogStore::Open(env::PosixEnv(), {.directory = dir_.File("log"), .database = id_})
                 .value();
    encoder_ = std::make_unique<log::RecordEncoder>(
        log::RecordEncoder::Options{.database = id_, .page_size = kPageBytes},
        [this](PageNo page, std::span<uint8_t> out) { return ReadBase(page, out); });
    active_ = env::PosixEnv().Open(dir_.File("seed.db"), env::OpenMode::kRead).value();
    Emit(log::kRecordMount, {}, table_.pages());
    start_ = {.database = id_, .at = store_->end(), .table = table_};
  }

  void Sql(const std::string& sql) { Must(db_->Execute(sql)); }
  // The commits in the WAL become records.
  void Capture() {
    auto wal = env::PosixEnv().Open(dir_.File("active.db-wal"), env::OpenMode::kRead).value();
    base::Bytes frame(sqlite::kWalFrameHeaderBytes + kPageBytes);
    std::map<uint32_t, base::Bytes> pages;
    base::Bytes head(sqlite::kWalHeaderBytes);
    CHECK(wal->ReadAt(0, head).value() == head.size());
    const auto header = sqlite::ParseWalHeader(head).value();
    for (uint64_t at = sqlite::kWalHeaderBytes; at < kWalBytesMax; at += frame.size()) {
      if (wal->ReadAt(at, frame).value() != frame.size()) break;
      const auto about = sqlite::ParseWalFrameHeader(frame.data());
      if (about.salts != header.salts) break;
      pages[about.page.value].assign(frame.begin() + sqlite::kWalFrameHeaderBytes, frame.end());
      if (about.pages_after == 0) continue;
      Emit(0, pages, about.pages_after);
      pages.clear();
    }
    Must(store_->Sync());
    Must(db_->Checkpoint("TRUNCATE").status());
  }
  void Emit(uint16_t flags, const std::map<uint32_t, base::Bytes>& pages, uint32_t pages_after) {
    ++seq_.value;
    encoder_->Begin({.flags = flags,
                     .term = base::Term(1),
                     .seq_first = seq_,
                     .seq_last = seq_,
                     .commit_time = {},
                     .pages_after = pages_after,
                     .source = {}},
                    table_, *this);
    for (const auto& [page, image] : pages) Must(encoder_->AddPage(PageNo(page), image));
    Must(encoder_->Finish());
    if (flags != 0) Must(store_->Sync());
  }
  base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
    return store_->Append(part);
  }

  log::LogStore& log() { return *store_; }
  const log::Checkpoint& start() const { return start_; }
  const understudy::test::TempDir& dir() const { return dir_; }

 private:
  bool ReadBase(PageNo page, std::span<uint8_t> out) {
    const auto got = active_->ReadAt(uint64_t{page.value - 1} * kPageBytes, out);
    return got.ok() && *got == out.size();
  }

  understudy::test::TempDir dir_;
  base::DatabaseId id_;
  std::unique_ptr<sqlite::Connection> db_;
  std::unique_ptr<env::File> active_;  // of the seed: bases of pages that change for the first time
  std::unique_ptr<log::LogStore> store_;
  std::unique_ptr<log::RecordEncoder> encoder_;
  log::PageTable table_;
  log::Checkpoint start_;
  base::Seq seq_;
};

constexpr const char* kReader = R"(
import os, sqlite3, sys
path, stop = sys.argv[1], sys.argv[2]
rounds = 0
while not os.path.exists(stop):
    db = sqlite3.connect(path, timeout=20)
    db.execute("BEGIN")
    a = db.execute("SELECT count(*), total(k) FROM t NOT INDEXED").fetchone()
    b = db.execute("SELECT count(k), total(k) FROM t INDEXED BY t_k").fetchone()
    c = db.execute("PRAGMA quick_check").fetchone()[0]
    if a != b or c != "ok":
        print("WRONG", a, b, c); os._exit(1)
    db.close()
    rounds += 1
print("    reader: %d rounds, nothing wrong" % rounds)
)";

std::vector<pid_t> StartReaders(const Source& source, const std::string& path, int count) {
  std::ofstream(source.dir().File("reader.py")) << kReader;
  std::filesystem::remove(source.dir().File("stop"));
  std::vector<pid_t> readers;
  for (int i = 0; i < count; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execlp("python3", "python3", source.dir().File("reader.py").c_str(), path.c_str(),
               source.dir().File("stop").c_str(), static_cast<char*>(nullptr));
      ::_exit(9);
    }
    readers.push_back(pid);
  }
  return readers;
}

double CpuSeconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(use.ru_utime) + of(use.ru_stime);
}

void Run(Source& source, std::string_view what, int reader_count) {
  const std::string path = source.dir().File("passive.db");
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path + end);
  std::filesystem::copy_file(source.dir().File("seed.db"), path);
  const std::string checkpoint = source.dir().File("passive.checkpoint");
  Must(log::SaveCheckpoint(env::PosixEnv(), checkpoint, source.start()));
  auto replayer =
      replay::Replayer::Open(
          env::PosixEnv(),
          {.path = path, .checkpoint_path = checkpoint, .database = source.start().database},
          source.log())
          .value();
  const auto readers = StartReaders(source, path, reader_count);
  const double cpu_before = CpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    const auto result = replayer->RunOnce(env::PosixEnv().Now());
    Must(result.status());
    if (!result->worked) break;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double cpu = CpuSeconds() - cpu_before;
  const auto& counters = replayer->counters();
  fmt::print(
      "{:<34} {} readers: {:6.0f} MB/s of pages ({:.0f} per CPU second), {:7.0f} records/s, "
      "{:5.2f} s, {} pages, {} "
      "groups, "
      "{} checkpoints ({} cut), {:.0f} MB of log\n",
      what, reader_count, static_cast<double>(counters.page_bytes) / seconds / 1e6,
      static_cast<double>(counters.page_bytes) / cpu / 1e6,
      static_cast<double>(counters.records) / seconds, seconds, counters.pages, counters.groups,
      counters.checkpoints, counters.checkpoints_cut,
      static_cast<double>(counters.log_bytes) / 1e6);
  std::fflush(stdout);
  std::ofstream(source.dir().File("stop")) << "now";
  for (const pid_t pid : readers) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (status != 0) fmt::print("    a reader saw something wrong (status {})\n", status);
  }
}

int Main(int rows) {
  for (const bool small : {true, false}) {
    Source source(rows);
    for (int batch = 0; batch < (small ? 40 : 8); ++batch) {
      if (small) {
        for (int i = 0; i < 250; ++i) {
          source.Sql(fmt::format(
              "BEGIN; UPDATE t SET k = abs(random()) % 1000000 WHERE id IN "
              "(abs(random()) % {0}, abs(random()) % {0}, abs(random()) % {0}); "
              "INSERT INTO t(k, body) VALUES (abs(random()) % 1000000, randomblob(300)); COMMIT",
              rows));
        }
      } else {
        source.Sql(fmt::format(
            "UPDATE t SET body = CAST(randomblob(200) || zeroblob(200) AS BLOB) WHERE id BETWEEN "
            "{} AND {}",
            batch * rows / 8, (batch + 1) * rows / 8));
      }
      source.Capture();
    }
    const std::string_view what = small ? "small transactions (deltas)" : "bulk update";
    Run(source, what, 0);
    Run(source, what, 2);
  }
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) { return understudy::Main(argc > 1 ? std::atoi(argv[1]) : 300000); }
