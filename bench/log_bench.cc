// SPDX-License-Identifier: Apache-2.0
// How small and how fast records are, on the pages that real SQLite writes.
//
// Makes a WAL database, takes the changed pages of every commit out of its WAL, encodes them as one
// record per commit, and prints bytes per transaction beside LZ4 of the same full pages (which is
// what LTX files of Litestream and LiteFS hold), then the speed of encoding, parsing and decoding,
// and of appending to a log on disk.
//
//   log_bench [transactions (default 20000)]
#include <fmt/format.h>
#include <lz4.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "env/env.h"
#include "log/log_store.h"
#include "log/record_encoder.h"
#include "sqlite/connection.h"

namespace understudy {
namespace {

constexpr uint32_t kPageSize = 4096;
constexpr size_t kWalHeader = 32;
constexpr size_t kFrameHeader = 24;

// Of the processor, so that other work on the machine does not count; for what never waits.
double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double Seconds(base::SteadyTime since) {
  return std::chrono::duration<double>(env::PosixEnv().Now() - since).count();
}

struct Commit {
  std::map<uint32_t, const uint8_t*> pages;
  uint32_t pages_after = 0;
};

// The WAL of a run of one-statement transactions, kept whole.
struct Workload {
  base::Bytes wal;
  std::vector<Commit> commits;
  size_t first = 0;  // commits before this only set the stage
};

void Must(const base::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

template <typename Statements>
Workload Run(const std::string& directory, const std::string& schema, int transactions,
             Statements&& statements) {
  const std::string path = directory + "/bench.db";
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
  auto connection = sqlite::Connection::Open(path, {.create = true});
  Must(connection.status());
  Must((*connection)
           ->Execute("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"));
  Must((*connection)->Execute(schema));
  Workload workload;
  workload.first = static_cast<size_t>(std::count(schema.begin(), schema.end(), ';'));
  for (int i = 0; i < transactions; ++i) Must((*connection)->Execute(statements(i)));
  workload.wal = env::ReadFile(env::PosixEnv(), path + "-wal", uint64_t{8} << 30).value();
  Commit commit;
  for (size_t at = kWalHeader; at + kFrameHeader + kPageSize <= workload.wal.size();
       at += kFrameHeader + kPageSize) {
    const uint8_t* const frame = workload.wal.data() + at;
    commit.pages[base::LoadBe32(frame)] = frame + kFrameHeader;
    commit.pages_after = base::LoadBe32(frame + 4);
    if (commit.pages_after != 0) workload.commits.push_back(std::exchange(commit, {}));
  }
  return workload;
}

class KeepParts final : public log::PartSink {
 public:
  base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
    parts.emplace_back(part.begin(), part.end());
    bytes += part.size();
    return {};
  }
  std::vector<base::Bytes> parts;
  uint64_t bytes = 0;
};

// One record for `together` commits: the newest image of each page.
void Encode(const Workload& workload, size_t together, KeepParts& sink, log::PageTable& table,
            uint64_t* page_bytes, double* seconds) {
  log::RecordEncoder encoder({.database = {}, .page_size = kPageSize}, nullptr);
  uint64_t seq = 0;
  const double start = CpuSeconds();
  for (size_t i = 0; i < workload.commits.size(); i += together) {
    std::map<uint32_t, const uint8_t*> pages;
    const size_t end = std::min(workload.commits.size(), i + together);
    for (size_t k = i; k < end; ++k) {
      for (const auto& [page, image] : workload.commits[k].pages) pages[page] = image;
    }
    const log::RecordInfo info{.term = base::Term(1),
                               .seq_first = base::Seq(seq + 1),
                               .seq_last = base::Seq(seq + (end - i)),
                               .commit_time = {1'700'000'000'000},
                               .pages_after = workload.commits[end - 1].pages_after,
                               .source = {1, 2, 3, 4, 5}};
    seq += end - i;
    encoder.Begin(info, table, sink);
    for (const auto& [page, image] : pages) {
      Must(encoder.AddPage(base::PageNo(page), {image, kPageSize}));
      *page_bytes += kPageSize;
    }
    Must(encoder.Finish());
  }
  *seconds = CpuSeconds() - start;
}

void Sizes(const std::string& name, const Workload& workload) {
  KeepParts sink;
  log::PageTable table;
  uint64_t page_bytes = 0;
  double encode_s = 0;
  Encode(workload, 1, sink, table, &page_bytes, &encode_s);

  uint64_t log_bytes = 0;
  uint64_t lz4_bytes = 0;
  uint64_t measured_pages = 0;
  std::vector<char> out(LZ4_COMPRESSBOUND(kPageSize));
  const size_t count = workload.commits.size() - workload.first;
  for (size_t i = workload.first; i < workload.commits.size(); ++i) {
    log_bytes += sink.parts[i].size();
    for (const auto& [page, image] : workload.commits[i].pages) {
      ++measured_pages;
      lz4_bytes += static_cast<uint64_t>(LZ4_compress_default(reinterpret_cast<const char*>(image),
                                                              out.data(), kPageSize,
                                                              static_cast<int>(out.size())));
    }
  }
  double start = CpuSeconds();
  for (const base::Bytes& bytes : sink.parts) Must(log::ParsePart(bytes).status());
  const double parse_s = CpuSeconds() - start;
  start = CpuSeconds();
  log::EntryDecoder decoder;
  std::vector<base::Bytes> copy;
  base::Bytes image(kPageSize);
  for (const base::Bytes& bytes : sink.parts) {
    const auto part = log::ParsePart(bytes);
    if (copy.size() <= part->header.pages_after) copy.resize(part->header.pages_after + 1);
    for (const log::Entry& entry : part->entries) {
      base::Bytes& old = copy[entry.page.value];
      Must(decoder.Decode(entry, old, image));
      old.swap(image);
      image.resize(kPageSize);
    }
  }
  const double decode_s = CpuSeconds() - start - parse_s;
  const auto per = [count](uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(count);
  };
  const double megabytes = static_cast<double>(page_bytes) / 1e6;
  fmt::print(
      "{:<34} {:6} tx {:5.2f} pages/tx {:7.0f} log B/tx {:7.0f} LZ4 B/tx  ratio {:.3f}  encode "
      "{:4.0f}  "
      "decode {:4.0f}  parse {:4.0f} MB/s of pages by CPU time\n",
      name, count, per(measured_pages), per(log_bytes), per(lz4_bytes),
      static_cast<double>(log_bytes) / static_cast<double>(lz4_bytes), megabytes / encode_s,
      megabytes / decode_s, megabytes / parse_s);
}

// Runs of commits in one record, as when they come faster than one by one.
void Together(const std::string& name, const Workload& workload) {
  for (const size_t together : {10u, 100u}) {
    KeepParts sink;
    log::PageTable table;
    uint64_t page_bytes = 0;
    double seconds = 0;
    Encode(workload, together, sink, table, &page_bytes, &seconds);
    fmt::print("{:<34} {:3} commits a record: {:5.0f} log B/tx, {:.0f} commits/s\n", name, together,
               static_cast<double>(sink.bytes) / static_cast<double>(workload.commits.size()),
               static_cast<double>(workload.commits.size()) / seconds);
  }
}

// Appends with a sync every `every` records; the rest is the cost of the store.
void Store(const std::string& directory, const Workload& workload) {
  KeepParts sink;
  log::PageTable table;
  uint64_t page_bytes = 0;
  double seconds = 0;
  Encode(workload, 1, sink, table, &page_bytes, &seconds);
  for (const size_t every : {1u, 100u, 1'000'000u}) {
    const std::string path = directory + "/log" + std::to_string(every);
    auto store = log::LogStore::Open(env::PosixEnv(), {.directory = path, .database = {}});
    Must(store.status());
    const size_t count = every == 1 ? std::min<size_t>(sink.parts.size(), 2000) : sink.parts.size();
    auto start = env::PosixEnv().Now();
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; ++i) {
      Must((*store)->Append(sink.parts[i]));
      bytes += sink.parts[i].size();
      if (i % every == 0) Must((*store)->Sync());
    }
    Must((*store)->Sync());
    const double append_s = Seconds(start);
    start = env::PosixEnv().Now();
    auto reader = (*store)->ReadAfter(base::Seq(0));
    size_t read = 0;
    while (true) {
      auto item = (*reader)->Next();
      Must(item.status());
      if (!item->has_value()) break;
      ++read;
    }
    CHECK(read == count);
    fmt::print(
        "append, sync every {:7}: {:8.0f} records/s {:6.1f} us each; read back {:.0f} records/s\n",
        every, static_cast<double>(count) / append_s, 1e6 * append_s / static_cast<double>(count),
        static_cast<double>(count) / Seconds(start));
  }
}

void Hash() {
  base::Bytes image(kPageSize, 'x');
  uint64_t sum = 0;
  const double start = CpuSeconds();
  constexpr uint32_t kRounds = 200'000;
  for (uint32_t i = 1; i <= kRounds; ++i) sum += log::HashPage(base::PageNo(i), image);
  fmt::print("page hash {:.0f} MB/s ({:x})\n",
             kRounds * double{kPageSize} / 1e6 / (CpuSeconds() - start), sum & 1);
}

std::string Hex(std::mt19937_64& random, int bytes) {
  std::string out;
  for (int i = 0; i < bytes / 16; ++i) out += fmt::format("{:016x}", random());
  return out;
}

// Words of everyday text, so that rows compress as mail does.
std::string Words(std::mt19937_64& random, size_t bytes) {
  static constexpr const char* kWords[] = {"the ",  "copy ",   "server ",   "meeting ",
                                           "of ",   "is ",     "tomorrow ", "please ",
                                           "send ", "report ", "and ",      "to "};
  std::string out;
  while (out.size() < bytes) out += kWords[random() % std::size(kWords)];
  out.resize(bytes);
  return out;
}

int Main(int argc, char** argv) {
  const int transactions = argc > 1 ? std::atoi(argv[1]) : 20'000;
  const auto directory = std::filesystem::temp_directory_path() /
                         fmt::format("log_bench_{:x}", env::PosixEnv().Random());
  std::filesystem::create_directories(directory);
  std::mt19937_64 random(1);
  const std::string table = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);";
  const Workload noise = Run(directory, table, transactions, [&](int) {
    return fmt::format("INSERT INTO t(v) VALUES(randomblob(100))");
  });
  Sizes("insert 100 random bytes", noise);
  Sizes("insert 96 bytes of hex", Run(directory, table, transactions, [&](int) {
          return fmt::format("INSERT INTO t(v) VALUES('{}')", Hex(random, 96));
        }));
  Sizes("insert 100 bytes of words", Run(directory, table, transactions, [&](int) {
          return fmt::format("INSERT INTO t(v) VALUES('{}')", Words(random, 100));
        }));
  Sizes("insert 100 bytes, random index",
        Run(directory, table + "CREATE INDEX i ON t(v);", transactions, [&](int) {
          return fmt::format("INSERT INTO t(v) VALUES('{}{}')", Hex(random, 16), Words(random, 84));
        }));
  Sizes("update 8 bytes of a random row",
        Run(directory,
            table + "CREATE INDEX i ON t(id);"
                    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<20000) "
                    "INSERT INTO t(v) SELECT hex(randomblob(50)) FROM c;",
            transactions, [&](int) {
              return fmt::format("UPDATE t SET v='{}'||substr(v,9) WHERE id={}",
                                 Hex(random, 16).substr(0, 8), 1 + random() % 20000);
            }));
  Together("insert 100 random bytes", noise);
  Store(directory, noise);
  Hash();
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) { return understudy::Main(argc, argv); }
