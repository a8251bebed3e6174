// SPDX-License-Identifier: Apache-2.0
// Application throughput with capture against plain SQLite, in one run: one writer process,
// 100-byte inserts, synchronous NORMAL and FULL; and the time from a commit to its being durable in
// the log at 200 commits a second.
//
// usage: capture_bench [directory] [seconds per measurement] [rounds]
// Rounds alternate between plain and captured, and medians are compared, because disks drift. Each
// begins with a second that does not count: while a WAL file grows, synced commits are slower.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "capture/capture.h"
#include "sqlite/connection.h"

namespace understudy {
namespace {

using base::SteadyTime;
using std::chrono::microseconds;

double Seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::unique_ptr<sqlite::Connection> Open(const std::string& path) {
  auto connection = sqlite::Connection::Open(
      path, {.create = true, .busy_timeout = std::chrono::seconds(10), .vfs = ""});
  CHECK(connection.ok());
  return std::move(connection).value();
}

constexpr double kWarmUpSeconds = 1;

void WaitUntil(env::Env& env, SteadyTime due) {
  const int64_t left = (due - env.Now()).count();
  if (left <= 0) return;  // LINT-ALLOW(sleep): the pace is what is measured
  const timespec pause{left / 1'000'000'000, left % 1'000'000'000};
  ::nanosleep(&pause, nullptr);
}

// In a child process: commits for `seconds` and writes the number of them to `out`. With `rate`,
// that many commits a second, each followed by its time.
[[noreturn]] void Write(const std::string& path, const std::string& synchronous, double seconds,
                        double rate, int out) {
  auto connection = Open(path);
  CHECK(connection->Execute("PRAGMA wal_autocheckpoint=1000").ok());
  CHECK(connection->Execute("PRAGMA synchronous=" + synchronous).ok());
  auto insert = connection->Prepare("INSERT INTO t(b) VALUES(randomblob(50)||randomblob(50))");
  CHECK(insert.ok());
  env::Env& env = env::PosixEnv();
  if (rate <= 0) {
    const SteadyTime warm_up = env.Now();
    while (Seconds(env.Now() - warm_up) < kWarmUpSeconds) CHECK(insert->Run().ok());
  }
  const SteadyTime start = env.Now();
  uint64_t commits = 0;
  while (Seconds(env.Now() - start) < seconds) {
    if (rate > 0) {
      const SteadyTime due =
          start + std::chrono::nanoseconds(static_cast<int64_t>(1e9 / rate * double(commits)));
      WaitUntil(env, due);
    }
    CHECK(insert->Run().ok());
    ++commits;
    if (rate > 0) {
      const int64_t now = env.Now().time_since_epoch().count();
      CHECK(::write(out, &now, sizeof now) == sizeof now);
    }
  }
  if (rate <= 0) CHECK(::write(out, &commits, sizeof commits) == sizeof commits);
  ::_exit(0);
}

double CpuSeconds(const rusage& usage) {
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return CpuSeconds(usage);
}

struct Run {
  double rate = 0;
  std::vector<double> latencies_ms;
  double cpu = 0;
  double per_cpu_second = 0;  // commits per second of the processor time of the writer, warm-up too
  capture::Counters counters;
};

Run Measure(const std::string& directory, const std::string& synchronous, bool captured,
            double seconds, double rate) {
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  const std::string path = directory + "/a.db";
  {
    auto connection = Open(path);
    CHECK(connection->Execute("PRAGMA journal_mode=WAL").ok());
    CHECK(connection->Execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)").ok());
  }
  int ends[2];
  CHECK(::pipe(ends) == 0);
  const pid_t writer = ::fork();
  if (writer == 0) {
    ::raise(SIGSTOP);
    Write(path, synchronous, seconds, rate, ends[1]);
  }
  ::close(ends[1]);
  ::waitpid(writer, nullptr, WUNTRACED);

  Run run;
  env::Env& env = env::PosixEnv();
  std::unique_ptr<log::LogStore> log;
  std::unique_ptr<capture::Capture> capture;
  if (captured) {
    auto opened = log::LogStore::Open(env, {.directory = directory + "/log"});
    CHECK(opened.ok());
    log = std::move(opened).value();
    capture::Options options;
    options.path = path;
    options.term = base::Term(1);
    options.checkpoint_path = directory + "/checkpoint";
    auto followed = capture::Capture::Open(env, options, *log);
    CHECK(followed.ok());
    capture = std::move(followed).value();
  }
  rusage usage{};
  const double cpu_before = CpuSeconds();
  ::kill(writer, SIGCONT);
  std::vector<std::pair<uint64_t, SteadyTime>> durable;  // seq, when it was seen durable
  if (captured) {
    while (::wait4(writer, nullptr, WNOHANG, &usage) == 0) {
      capture->WaitForChange(std::chrono::milliseconds(10));
      const auto more = capture->RunOnce(env.Now());
      if (!more.ok()) fmt::print("{}\n", more.status().ToString());
      CHECK(more.ok());
      const uint64_t seq = log->durable().seq.value;
      if (durable.empty() || durable.back().first < seq) durable.emplace_back(seq, env.Now());
    }
    run.cpu = (CpuSeconds() - cpu_before) / (seconds + (rate > 0 ? 0 : kWarmUpSeconds));
    CHECK(capture->CatchUp().ok());
    durable.emplace_back(log->durable().seq.value, env.Now());
    run.counters = capture->counters();
  } else {
    ::wait4(writer, nullptr, 0, &usage);
  }
  int64_t value = 0;
  uint64_t seq = 1;
  size_t at = 0;
  while (::read(ends[0], &value, sizeof value) == sizeof value) {
    if (rate <= 0) {
      run.rate = double(value) / seconds;
      run.per_cpu_second = double(value) / CpuSeconds(usage);
    }
    ++seq;
    while (at < durable.size() && durable[at].first < seq) ++at;
    if (rate > 0 && at < durable.size())
      run.latencies_ms.push_back(double(durable[at].second.time_since_epoch().count() - value) /
                                 1e6);
  }
  ::close(ends[0]);
  return run;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Compare(const std::string& directory, const std::string& synchronous, double seconds,
             int rounds) {
  std::vector<double> plain;
  std::vector<double> captured;
  std::vector<double> ratios;
  std::vector<double> cpu_ratios;
  Run last;
  for (int round = 0; round < rounds; ++round) {
    const Run alone = Measure(directory, synchronous, false, seconds, 0);
    plain.push_back(alone.rate);
    last = Measure(directory, synchronous, true, seconds, 0);
    captured.push_back(last.rate);
    ratios.push_back(captured.back() / plain.back());
    cpu_ratios.push_back(last.per_cpu_second / alone.per_cpu_second);
  }
  fmt::print(
      "synchronous {:6}: plain {:.0f} tx/s, captured {:.0f} tx/s, ratio {:.3f} (median of {}), per "
      "second of "
      "the writer's processor time {:.3f}; "
      "cpu {:.2f}, restarts {}, K {}, Z {}, forced {} (failed {}), lock held {:.2f} ms, records "
      "{}, "
      "syncs {}\n",
      synchronous, Median(plain), Median(captured), Median(ratios), rounds, Median(cpu_ratios),
      last.cpu, last.counters.wal_restarts, last.counters.left_by_k, last.counters.left_by_z,
      last.counters.rotations_forced, last.counters.rotations_failed,
      Seconds(last.counters.write_lock_held_max) * 1e3, last.counters.records, last.counters.syncs);
}

int Main(int argc, char** argv) {
  const std::string directory =
      std::string(argc > 1 ? argv[1] : "/tmp") + fmt::format("/capture-bench-{}", ::getpid());
  const double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  for (const char* synchronous : {"NORMAL", "FULL"})
    Compare(directory, synchronous, seconds, rounds);
  Run paced = Measure(directory, "NORMAL", true, seconds, 200);
  std::vector<double>& ms = paced.latencies_ms;
  std::sort(ms.begin(), ms.end());
  if (!ms.empty())
    fmt::print(
        "commit to durable in the log at 200 tx/s: p50 {:.3f} ms, p99 {:.3f} ms, cpu {:.3f}\n",
        ms[ms.size() / 2], ms[ms.size() * 99 / 100], paced.cpu);
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) { return understudy::Main(argc, argv); }
