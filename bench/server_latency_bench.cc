// SPDX-License-Identifier: Apache-2.0
// Commit to durable on a passive copy, through real daemons: a writer process commits at a fixed
// pace, and this one waits for each commit as `understudy wait --durable --seq N` does, on the
// passive's server. So the figure includes the answer; what a wait for something long durable takes
// is printed beside it, as are the peers' figures. (Asking again and again would take one of two
// cores from those measured.)
//
//     server_latency_bench DATABASE-NAME PATH PASSIVE PASSIVE-ADDRESS [COMMITS [PER-SECOND]]
//
// bench/latency runs it on two daemons; the database has a table latency(a INTEGER PRIMARY KEY, b).
// The writer is a child process: this one must not open the database.
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "env/env.h"
#include "rpc/admin_client.h"
#include "sqlite/connection.h"

namespace {

using namespace understudy;  // LINT-ALLOW(using-namespace): a program of one file

constexpr int kCommitsMax = 100'000;
constexpr double kGoalP50 = 1.0;
constexpr double kGoalP99 = 5.0;
constexpr uint64_t kRecordBytes = 400;
constexpr uint64_t kLimitWrites = 500;

struct Shared {
  std::atomic<int> committed;
  std::atomic<int64_t> at_ns[kCommitsMax];
};

int64_t NowNs() { return env::PosixEnv().Now().time_since_epoch().count(); }

void Pause(int64_t ns) {
  if (ns <= 0) return;  // LINT-ALLOW(sleep): the pace is what is measured
  const timespec pause{ns / 1'000'000'000, ns % 1'000'000'000};
  nanosleep(&pause, nullptr);
}

base::Status Write(const std::string& path, int commits, int per_second, Shared& shared) {
  ASSIGN_OR_RETURN(auto connection,
                   sqlite::Connection::Open(path, {.busy_timeout = std::chrono::seconds(5)}));
  ASSIGN_OR_RETURN(auto insert,
                   connection->Prepare("INSERT INTO latency(b) VALUES (randomblob(100))"));
  const int64_t began = NowNs();
  for (int i = 0; i < commits; ++i) {
    const int64_t due = began + int64_t{i} * 1'000'000'000 / per_second;
    Pause(due - NowNs());
    RETURN_IF_ERROR(insert.Run());
    shared.at_ns[i] = NowNs();
    shared.committed = i + 1;
  }
  return {};
}

// Waits until `seq` (0: everything committed) is durable on the passive copy. The seq reached.
base::Result<uint64_t> WaitDurable(rpc::AdminClient& client, const std::string& database,
                                   const std::string& passive, uint64_t seq) {
  v1::WaitRequest request;
  request.set_database(database);
  request.set_what(v1::WaitRequest::DURABLE);
  request.set_seq(seq);
  request.add_servers(passive);
  ASSIGN_OR_RETURN(const v1::WaitResponse response, client.Wait(request));
  return response.reached().seq();
}

double Percentile(std::vector<double>& values, double of_hundred) {
  std::sort(values.begin(), values.end());
  const size_t at = static_cast<size_t>(of_hundred / 100 * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

base::Status Measure(rpc::AdminClient& client, const std::string& database,
                     const std::string& passive, uint64_t before, int commits,
                     const Shared& shared) {
  std::vector<double> latencies;
  std::vector<double> asks;
  for (int i = 0; i < commits; ++i) {
    const uint64_t seq = before + 1 + static_cast<uint64_t>(i);
    RETURN_IF_ERROR(WaitDurable(client, database, passive, seq).status());
    const int64_t durable = NowNs();
    // The answer may be here before the writer has noted that its commit returned.
    while (shared.committed <= i) sched_yield();
    latencies.push_back(std::max(0.0, static_cast<double>(durable - shared.at_ns[i]) / 1e6));
    RETURN_IF_ERROR(WaitDurable(client, database, passive, before).status());
    asks.push_back(static_cast<double>(NowNs() - durable) / 1e6);
  }
  const double p50 = Percentile(latencies, 50);
  const double p99 = Percentile(latencies, 99);
  fmt::print(
      "commit to durable on the passive, {} commits:   p50 {:.2f} ms  p99 {:.2f} ms  max {:.2f} "
      "ms\n",
      commits, p50, p99, latencies.back());
  fmt::print("  of it the answer, about half of:               p50 {:.2f} ms  p99 {:.2f} ms\n",
             Percentile(asks, 50), Percentile(asks, 99));
  fmt::print(
      "  goal p50 1 ms {}, p99 5 ms {}; peers elsewhere: PostgreSQL 0.55, LiteFS 1.4 and 5.5, "
      "Litestream 541 and 1857\n",
      p50 <= kGoalP50 ? "reached" : "MISSED", p99 <= kGoalP99 ? "reached" : "MISSED");
  return {};
}

// What no implementation can be faster than here: the log of each of two servers is synced, one
// after the other.
base::Status MeasureLimit(const std::string& directory, int per_second) {
  std::unique_ptr<env::File> files[2];
  for (int i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(files[i], env::PosixEnv().Open(fmt::format("{}/limit-{}", directory, i),
                                                    env::OpenMode::kCreateTruncate));
  }
  const base::Bytes bytes(kRecordBytes, 1);
  std::vector<double> times;
  for (uint64_t i = 0; i < kLimitWrites; ++i) {
    Pause(1'000'000'000 / per_second);
    const int64_t began = NowNs();
    for (const auto& file : files) {
      RETURN_IF_ERROR(file->WriteAt(i * kRecordBytes, bytes));
      RETURN_IF_ERROR(file->Sync());
    }
    times.push_back(static_cast<double>(NowNs() - began) / 1e6);
  }
  fmt::print("  limit of this disk, two synced appends:        p50 {:.2f} ms  p99 {:.2f} ms\n",
             Percentile(times, 50), Percentile(times, 99));
  return {};
}

}  // namespace

int main(int count, char** words) {
  if (count < 5) {
    fmt::print(stderr,
               "usage: server_latency_bench NAME PATH PASSIVE ADDRESS [COMMITS [PER-SECOND]]\n");
    return 2;
  }
  const std::string database = words[1];
  const std::string passive = words[3];
  const int commits = std::clamp(count > 6 ? std::atoi(words[6]) : 2000, 1, kCommitsMax);
  const int per_second = std::max(count > 6 ? std::atoi(words[6]) : 200, 1);
  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto* const shared = new (memory) Shared();
  int gate[2];
  if (pipe(gate) != 0) return 1;
  const pid_t writer = fork();  // before any thread of gRPC exists
  if (writer == 0) {
    char go = 0;
    if (read(gate[0], &go, 1) != 1) _exit(1);
    const base::Status written = Write(words[2], commits, per_second, *shared);
    if (!written.ok()) fmt::print(stderr, "{}\n", written.ToString());
    _exit(written.ok() ? 0 : 1);
  }
  auto client = rpc::AdminClient::Connect(words[4]);
  base::Status status = client.status();
  if (status.ok()) {
    auto before = WaitDurable(**client, database, passive, 0);
    status = before.status();
    if (status.ok() && write(gate[1], "g", 1) == 1) {
      status = Measure(**client, database, passive, *before, commits, *shared);
    }
  }
  close(gate[1]);
  int ended = 0;
  waitpid(writer, &ended, 0);
  if (status.ok()) status = MeasureLimit(env::DirectoryOf(words[2]), per_second);
  if (!status.ok()) fmt::print(stderr, "{}\n", status.ToString());
  return status.ok() && ended == 0 ? 0 : 1;
}
