// SPDX-License-Identifier: Apache-2.0
// What the active copy's server does for a backup's question for its log range, by how many
// generations the log has: the range is read, and a hold is set at its end (Admin::AnnounceBackup).
// Beside it what opening such a log takes, which a daemon does once, and the same range found by
// listing the directory, which is what a server without an index has to do.
//
//   log_range_bench [DIRECTORY (default /dev/shm)]
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "log/record_encoder.h"

namespace {

using namespace understudy;  // LINT-ALLOW(using-namespace): a program of one file

constexpr uint32_t kPageSize = 4096;
constexpr int kQuestions = 1000;
constexpr double kGoalMs = 5;

void Must(const base::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

double Ms(base::SteadyTime since) {
  return std::chrono::duration<double, std::milli>(env::PosixEnv().Now() - since).count();
}

class Appender final : public log::PartSink {
 public:
  explicit Appender(log::LogStore& store) : store_(store) {}
  base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
    return store_.Append(part);
  }

 private:
  log::LogStore& store_;
};

// One record is more than a generation's size, so each makes a generation.
void Fill(log::LogStore& store, uint64_t first, uint64_t last, log::PageTable& table) {
  log::RecordEncoder encoder({.database = {}, .page_size = kPageSize},
                             [](base::PageNo, std::span<uint8_t>) { return false; });
  Appender sink(store);
  base::Bytes image(kPageSize, 7);
  for (uint64_t seq = first; seq <= last; ++seq) {
    encoder.Begin({.flags = 0,
                   .term = base::Term(1),
                   .seq_first = base::Seq(seq),
                   .seq_last = base::Seq(seq),
                   .commit_time = {1'700'000'000'000},
                   .pages_after = 1,
                   .source = {}},
                  table, sink);
    image[seq % kPageSize] ^= 1;
    Must(encoder.AddPage(base::PageNo(1), image));
    Must(encoder.Finish());
  }
  Must(store.Sync());
}

double AnswerMs(log::LogStore& store) {
  double worst = 0;
  for (int i = 0; i < kQuestions; ++i) {
    const base::SteadyTime began = env::PosixEnv().Now();
    const base::Seq first = store.first_seq();
    const base::Position last = store.durable();
    store.SetHold({.name = "backup", .reason = "of the range", .seq = last.seq});
    const double took = Ms(began);
    if (first > last.seq) std::exit(1);
    worst = std::max(worst, took);
  }
  store.ReleaseHold("backup");
  return worst;
}

}  // namespace

int main(int count, char** words) {
  const std::string directory =
      fmt::format("{}/log-range-{}", count > 1 ? words[1] : "/dev/shm", getpid());
  const log::LogStore::Options options{.directory = directory, .generation_bytes = 1};
  log::PageTable table;
  uint64_t seq = 0;
  bool reached = true;
  for (const uint64_t generations : {1'000ul, 10'000ul, 100'000ul}) {
    auto store = log::LogStore::Open(env::PosixEnv(), options).value();
    Fill(*store, seq + 1, generations, table);
    seq = generations;
    store.reset();
    const base::SteadyTime opened = env::PosixEnv().Now();
    store = log::LogStore::Open(env::PosixEnv(), options).value();
    const double open_ms = Ms(opened);
    const double answer_ms = AnswerMs(*store);
    const base::SteadyTime listed = env::PosixEnv().Now();
    const size_t files = env::PosixEnv().List(directory).value().size();
    const double list_ms = Ms(listed);
    reached = reached && answer_ms < kGoalMs;
    fmt::print(
        "{:7} generations: log range {:.4f} ms at worst of {} (goal {} ms); listing {} files "
        "{:.1f} ms, {:.0f} times as long; opening the log {:.0f} ms\n",
        store->generations().size(), answer_ms, kQuestions, kGoalMs, files, list_ms,
        list_ms / answer_ms, open_ms);
  }
  std::filesystem::remove_all(directory);
  fmt::print("goal {}\n", reached ? "reached" : "MISSED");
  return 0;
}
