// SPDX-License-Identifier: Apache-2.0
// Full backup, verify and restore of a half-compressible database, beside cp + fsync and lz4, in
// one run: the ratios are what counts, because disks differ.
//
//   backup_bench [DIRECTORY [MIB [ROUNDS]]]      defaults: the temporary directory, 1024, 5
//
// An incremental backup after 1 % of the pages have changed, all over the file, is measured beside
// what sqlite3_rsync cannot do without: reading and hashing both databases (here with XXH3, which
// is much faster than its hash); and beside sqlite3_rsync itself where PATH has it.
//
// The database is made by SQLite: rows of noise and of text. Medians over the rounds; in a round
// everything runs once, in turn, with the source in the page cache.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

#include "backup/backup_engine.h"
#include "backup/crc64.h"
#include "backup/file_snapshot_source.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "sqlite/connection.h"

namespace understudy {
namespace {

namespace fs = std::filesystem;

void Require(const base::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

void Shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) {
    fmt::print(stderr, "failed: {}\n", command);
    std::exit(1);
  }
}

// Processor time of this process and of the commands it ran.
double CpuSeconds() {
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    struct rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
      seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    }
  }
  return seconds;
}

void MakeDatabase(const std::string& path, int64_t mib) {
  auto connection = sqlite::Connection::Open(path, {.create = true});
  Require(connection.status());
  sqlite::Connection& db = **connection;
  Require(
      db.Execute("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
                 "CREATE TABLE mail(id INTEGER PRIMARY KEY, noise BLOB, body TEXT)"));
  // 512 bytes of noise and 512 of text in a row.
  constexpr int64_t kRowsPerBatch = 65536;
  for (int64_t made = 0; made < mib * 744; made += kRowsPerBatch) {
    Require(db.Execute(
        fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
                    "INSERT INTO mail SELECT NULL, randomblob(512), "
                    "substr(replace(hex(zeroblob(40)), '00', 'the message number ' || (i % 97) || "
                    "' says so, '),"
                    " 1, 512) FROM n; PRAGMA wal_checkpoint(TRUNCATE)",
                    kRowsPerBatch)));
  }
}

class Bench {
 public:
  Bench(std::string directory, int64_t mib, int rounds)
      : directory_(std::move(directory)), mib_(mib), rounds_(rounds) {}

  void Run() {
    fs::create_directories(directory_);
    const std::string database = directory_ + "/source.db";
    MakeDatabase(database, mib_);
    bytes_ = fs::file_size(database);
    for (int round = 0; round < rounds_; ++round) Round(database);
    Print();
    fs::remove_all(directory_);
  }

 private:
  struct Sample {
    double seconds = 0;
    double cpu_seconds = 0;
    bool operator<(const Sample& other) const { return seconds < other.seconds; }
  };

  void Time(const std::string& what, const std::function<void()>& work) {
    Shell("sync");  // everybody starts with a quiet disk
    const double cpu_before = CpuSeconds();
    const base::SteadyTime began = env_.Now();
    work();
    runs_[what].push_back(
        {std::chrono::duration<double>(env_.Now() - began).count(), CpuSeconds() - cpu_before});
  }

  void Round(const std::string& database) {
    const std::string repository_path = directory_ + "/repo";
    const std::string copy = directory_ + "/copy.db";
    const std::string output = directory_ + "/restored.db";
    Shell(fmt::format("rm -rf {} {} {}*", repository_path, copy, output));
    Shell(fmt::format("cat {} > /dev/null", database));
    Time("cp + fsync", [&] { Shell(fmt::format("cp {0} {1} && sync -d {1}", database, copy)); });

    const backup::SnapshotOrigin origin{
        .database = {}, .database_name = "bench", .server = "s1", .role = "offline"};
    auto source =
        backup::FileSnapshotSource::Open(env_, database, origin, {base::Term(1), base::Seq(1)});
    Require(source.status());
    auto repository = backup::Repository::OpenOrCreate(env_, repository_path);
    Require(repository.status());
    std::string id;
    Time("backup", [&] {
      const auto result = backup::RunFull(env_, executor_, **repository, **source, {});
      Require(result.status);
      id = result.document.id;
      stored_ = result.document.bytes_stored;
    });
    Time("verify", [&] {
      Require(backup::VerifyBackup(env_, executor_, **repository, "bench", id, {}).status);
    });
    Time("restore", [&] {
      Require(
          backup::Restore(env_, executor_, **repository, {.database = "bench", .output = output})
              .status());
    });
    Shell(fmt::format("cmp {} {}", database, output));
    Increment(**repository, origin, database, output);
    if (std::system("command -v lz4 > /dev/null") == 0) {
      Shell(fmt::format("rm -f {}", copy));
      Time("lz4 + fsync",
           [&] { Shell(fmt::format("lz4 -q -1 {0} {1}.lz4 && sync -d {1}.lz4", database, copy)); });
      Time("lz4 -d + fsync",
           [&] { Shell(fmt::format("lz4 -q -d {0}.lz4 {0} && sync -d {0}", copy)); });
      Shell(fmt::format("rm -f {}.lz4", copy));
    }
  }

  // `changed` is a copy of the database that was backed up; it is changed.
  void Increment(const backup::Repository& repository, const backup::SnapshotOrigin& origin,
                 const std::string& database, const std::string& changed) {
    const std::string replica = directory_ + "/replica.db";
    Shell(fmt::format("rm -f {1} && cp {0} {1}", database, replica));
    {
      auto connection = sqlite::Connection::Open(changed, {});
      Require(connection.status());
      Require((*connection)
                  ->Execute("UPDATE mail SET body = 'changed' WHERE id % 300 = 7;"
                            "PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    std::unique_ptr<backup::FileSnapshotSource> source;
    Time("read both", [&] {
      for (const std::string& path : {replica, changed}) {
        auto opened =
            backup::FileSnapshotSource::Open(env_, path, origin, {base::Term(1), base::Seq(2)});
        Require(opened.status());
        source = std::move(*opened);
      }
    });
    Time("increment", [&] {
      backup::BackupOptions options;
      options.type = backup::BackupType::kIncremental;
      const auto result = backup::RunBackup(env_, executor_, repository, *source, options);
      Require(result.status);
      increment_stored_ = result.document.bytes_stored;
    });
    if (std::system("command -v sqlite3_rsync > /dev/null") == 0) {
      Time("sqlite3_rsync", [&] {
        Shell(fmt::format("sqlite3_rsync {} {} && sync -d {}", changed, replica, replica));
      });
    }
  }

  void Print() {
    for (auto& [what, runs] : runs_) std::sort(runs.begin(), runs.end());
    const auto median = [&](const std::string& what) {
      return runs_[what][runs_[what].size() / 2];
    };
    const double base_seconds = median("cp + fsync").seconds;
    const double mib = static_cast<double>(bytes_) / (1 << 20);
    fmt::print("{:.0f} MiB, stored {:.1f} %, medians of {} rounds, {} workers\n", mib,
               100.0 * static_cast<double>(stored_) / static_cast<double>(bytes_), rounds_,
               executor_.workers());
    fmt::print("{:<16}{:>8}{:>8}{:>8}{:>10}{:>18}\n", "", "s", "best", "cpu s", "MiB/s",
               "of cp + fsync");
    for (const auto& [what, runs] : runs_) {
      const auto [seconds, cpu] = median(what);
      fmt::print("{:<16}{:>8.2f}{:>8.2f}{:>8.2f}{:>10.0f}{:>18.2f}\n", what, seconds,
                 runs.front().seconds, cpu, mib / seconds, base_seconds / seconds);
    }
    const double increment = median("increment").seconds;
    fmt::print("increment of {:.2f} MiB: {:.1f} times faster than reading both databases",
               static_cast<double>(increment_stored_) / (1 << 20),
               median("read both").seconds / increment);
    if (runs_.count("sqlite3_rsync") != 0) {
      const double times = median("sqlite3_rsync").seconds / increment;
      fmt::print(", {:.1f} times faster than sqlite3_rsync (goal 50{})", times,
                 times < 50 ? ": MISSED" : "");
    }
    fmt::print("\n");
  }

  env::Env& env_ = env::PosixEnv();
  backup::ThreadExecutor executor_;
  const std::string directory_;
  const int64_t mib_;
  const int rounds_;
  uint64_t bytes_ = 0;
  uint64_t stored_ = 0;
  uint64_t increment_stored_ = 0;
  std::map<std::string, std::vector<Sample>> runs_;
};

void MeasureCrc() {
  env::Env& env = env::PosixEnv();
  const base::Bytes bytes(64 << 20, 0x5a);
  for (const auto& [name, extend] : {std::pair{"CRC-64", &backup::ExtendCrc64},
                                     std::pair{"CRC-64 by table", &backup::ExtendCrc64ByTable}}) {
    const base::SteadyTime began = env.Now();
    uint64_t crc = 0;
    for (size_t at = 0; at < bytes.size(); at += 4096) {
      crc = extend(crc, base::ByteView(bytes).subspan(at, 4096));
    }
    const double seconds = std::chrono::duration<double>(env.Now() - began).count();
    fmt::print("{:<16}{:>8.1f} GB/s ({:016x})\n", name,
               static_cast<double>(bytes.size()) / seconds / 1e9, crc);
  }
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  const std::string parent = argc > 1 ? argv[1] : std::filesystem::temp_directory_path().string();
  const int64_t mib = argc > 2 ? std::atoll(argv[2]) : 1024;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  understudy::MeasureCrc();
  understudy::Bench(parent + "/understudy-backup-bench", mib, rounds).Run();
  return 0;
}
