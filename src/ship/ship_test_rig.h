// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share: an oracle database (pages in memory, captured into a real
// LogStore by the real encoder), a PageSource over it, and two servers on a simulated network.
// Threading: confined to one thread.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "log/log_store.h"
#include "log/record_encoder.h"
#include "ship/log_copier.h"
#include "ship/log_source.h"
#include "ship/seed_source.h"
#include "ship/seed_target.h"
#include "testing/mem_env.h"
#include "testing/sim_network.h"

namespace understudy::ship {

inline base::DatabaseId TestDatabaseId() {
  base::DatabaseId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(i + 1);
  return id;
}

// The active copy: every Commit changes pages and appends one record.
class OracleDatabase : public log::PartSink {
 public:
  OracleDatabase(env::Env& env, uint32_t page_size, uint32_t pages, uint64_t seed,
                 uint64_t generation_bytes = 64 << 10)
      : env_(env), page_size_(page_size), random_(seed) {
    auto opened = log::LogStore::Open(env, {.directory = "/active/log",
                                            .database = TestDatabaseId(),
                                            .generation_bytes = generation_bytes});
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    log_ = std::move(opened).value();
    encoder_ = std::make_unique<log::RecordEncoder>(
        log::RecordEncoder::Options{.database = TestDatabaseId(), .page_size = page_size}, nullptr);
    for (uint32_t i = 0; i < pages; ++i) {
      pages_.push_back(RandomPage());
      if (i == 0) pages_[0][log::kWriteVersionOffset] = log::kWriteVersionWal;
      table_.Set(base::PageNo(i + 1), log::HashPage(base::PageNo(i + 1), pages_[i]));
    }
    Mount(base::Term(1));
  }

  log::LogStore& log() { return *log_; }
  uint32_t pages() const { return static_cast<uint32_t>(pages_.size()); }
  uint32_t page_size() const { return page_size_; }
  base::Term term() const { return term_; }
  std::mt19937_64& random() { return random_; }
  base::Seq captured() const { return log_->end().position.seq; }

  void Mount(base::Term term) {
    term_ = term;
    Write({}, pages(), log::kRecordMount);
    Sync();
  }
  // Changes about `changes` pages and makes the database `pages_after` pages long. Not synced.
  void Commit(uint32_t changes, uint32_t pages_after) {
    std::map<uint32_t, bool> changed;
    for (uint32_t page = pages() + 1; page <= pages_after; ++page) changed[page] = true;
    pages_.resize(pages_after);
    for (uint32_t i = 0; i < changes; ++i) {
      changed.emplace(static_cast<uint32_t>(random_() % pages_after) + 1, false);
    }
    changed.emplace(1, false);
    for (const auto& [page, is_new] : changed) {
      base::Bytes& image = pages_[page - 1];
      if (is_new || random_() % 8 == 0) image = RandomPage();
      for (int i = 0; i < 4; ++i) image[random_() % page_size_] = static_cast<uint8_t>(random_());
      if (page == 1) image[log::kWriteVersionOffset] = log::kWriteVersionWal;
    }
    Write(changed, pages_after, 0);
  }
  void Commit(uint32_t changes = 3) { Commit(changes, pages()); }
  void Sync() { EXPECT_TRUE(log_->Sync().ok()); }
  void CommitAndSync(uint32_t changes = 3) {
    Commit(changes);
    Sync();
  }
  // A record is begun and given up, as capture does after a restart in the middle.
  void BeginAndDrop(uint32_t changes) {
    drop_ = true;
    const auto pages_before = pages_;
    const auto table_before = table_;
    base::Status ignored;
    encoder_->Begin(Info(pages(), 0), table_, *this);
    for (uint32_t page = 1; page <= std::min(changes, pages()); ++page) {
      EXPECT_TRUE(encoder_->AddPage(base::PageNo(page), RandomPage()).ok());
    }
    encoder_->Abandon();
    Sync();
    pages_ = pages_before;
    table_ = table_before;
    // The encoder's images are of pages that never were.
    encoder_ = std::make_unique<log::RecordEncoder>(
        log::RecordEncoder::Options{.database = TestDatabaseId(), .page_size = page_size_},
        nullptr);
  }
  void DropIncomplete() { EXPECT_TRUE(log_->DropIncomplete().ok()); }

  base::Bytes Image() const {
    base::Bytes all;
    for (const base::Bytes& page : pages_) base::AppendBytes(all, page);
    return all;
  }
  // The database as a passive has it: with the mark.
  base::Bytes MarkedImage() const {
    base::Bytes all = Image();
    all[log::kWriteVersionOffset] = log::kWriteVersionReadOnly;
    return all;
  }
  const base::Bytes& ImageOf(uint32_t page) const { return pages_[page - 1]; }
  uint64_t checksum() const { return table_.checksum(); }

  base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
    return log_->Append(part);
  }

 private:
  log::RecordInfo Info(uint32_t pages_after, uint16_t flags) {
    log::RecordInfo info;
    info.flags = flags;
    info.term = term_;
    info.seq_first = info.seq_last = captured().Next();
    info.commit_time = env_.WallNow();
    info.pages_after = pages_after;
    return info;
  }
  void Write(const std::map<uint32_t, bool>& changed, uint32_t pages_after, uint16_t flags) {
    encoder_->Begin(Info(pages_after, flags), table_, *this);
    for (const auto& [page, is_new] : changed) {
      const base::Status added = encoder_->AddPage(base::PageNo(page), pages_[page - 1]);
      EXPECT_TRUE(added.ok()) << added.ToString();
    }
    const base::Status finished = encoder_->Finish();
    EXPECT_TRUE(finished.ok()) << finished.ToString();
  }
  base::Bytes RandomPage() {
    base::Bytes page(page_size_);
    // Half of it compresses.
    for (size_t i = 0; i < page.size() / 2; i += 8) base::StoreLe(&page[i], random_());
    return page;
  }

  env::Env& env_;
  const uint32_t page_size_;
  std::mt19937_64 random_;
  std::unique_ptr<log::LogStore> log_;
  std::unique_ptr<log::RecordEncoder> encoder_;
  std::vector<base::Bytes> pages_;
  log::PageTable table_;
  base::Term term_{1};
  bool drop_ = false;
};

// Answers from the oracle as it is when the answer is taken, after a seeded number of polls.
class OraclePages : public PageSource {
 public:
  explicit OraclePages(OracleDatabase& database) : database_(database) {}

  base::Status Request(base::PageNo first, uint32_t count) override {
    if (database_.random()() % 16 == 0) return base::Busy("the reader is busy");
    first_ = first;
    count_ = count;
    polls_ = database_.random()() % 3;
    return {};
  }
  base::Result<std::optional<SeedPages>> TryTake() override {
    if (polls_ > 0) {
      --polls_;
      return std::optional<SeedPages>();
    }
    if (database_.random()() % 16 == 0) return base::Unavailable("the page changed meanwhile");
    SeedPages pages;
    pages.first_page = first_;
    pages.at = database_.log().end();
    for (uint32_t i = 0; i < count_ && first_.value + i <= database_.pages(); ++i) {
      base::AppendBytes(pages.images, database_.ImageOf(first_.value + i));
      ++pages.page_count;
    }
    ++taken_;
    return std::optional(std::move(pages));
  }
  uint64_t taken() const { return taken_; }

 private:
  OracleDatabase& database_;
  base::PageNo first_;
  uint32_t count_ = 0;
  uint64_t polls_ = 0;
  uint64_t taken_ = 0;
};

// Two servers, s1 with the active copy and s3 with the passive one.
class Rig {
 public:
  struct Options {
    uint64_t seed = 1;
    uint32_t page_size = 1024;
    uint32_t pages = 40;
    uint64_t window_bytes = kWindowBytesMin;
    size_t chunk_bytes = 4096;
    bool start_log = true;  // give the passive's log the active's end to start at
    bool with_seed = false;
    bool replace_existing = false;
    std::function<std::unique_ptr<BasePages>()> base{};  // of each SeedTarget; none: a full seed
    test::SimLink::Options link{};
  };

  explicit Rig(const Options& o)
      : options(o),
        active_env({.seed = o.seed, .clock = &clock}),
        passive_env({.seed = o.seed + 1, .clock = &clock}),
        network(clock, o.seed),
        random(o.seed),
        database(active_env, o.page_size, o.pages, o.seed),
        page_source(database) {
    OpenPassive();
    if (o.start_log) {
      EXPECT_TRUE(passive_log->StartAt(database.log().end()).ok());
    }
  }

  void OpenPassive() {
    seed_target.reset();
    copier.reset();
    passive_log.reset();
    auto opened = log::LogStore::Open(passive_env,
                                      {.directory = "/passive/log", .database = TestDatabaseId()});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    passive_log = std::move(opened).value();
    copier = std::make_unique<LogCopier>(passive_env,
                                         LogCopier::Options{.database = TestDatabaseId(),
                                                            .database_name = "orders",
                                                            .window_bytes = options.window_bytes},
                                         *passive_log);
    if (options.with_seed) OpenSeed();
  }
  void OpenSeed() {
    SeedTarget::Options seed;
    seed.database = TestDatabaseId();
    seed.database_name = "orders";
    seed.path = "/passive/orders.db";
    seed.checkpoint_path = "/passive/orders.checkpoint";
    seed.replace_existing = options.replace_existing;
    seed.window_bytes = options.window_bytes;
    auto target =
        SeedTarget::Open(passive_env, seed, *passive_log, options.base ? options.base() : nullptr);
    ASSERT_TRUE(target.ok()) << target.status().ToString();
    seed_target = std::move(target).value();
    copier->SeedBegin(clock.Now());
  }

  void Connect() {
    link = network.Connect(options.link);
    source = std::make_unique<LogSource>(LogSource::Options{.database = TestDatabaseId(),
                                                            .database_name = "orders",
                                                            .peer = "s3",
                                                            .term = database.term()},
                                         database.log(), link->source_end());
    seed_source =
        std::make_unique<SeedSource>(active_env,
                                     SeedSource::Options{.database = TestDatabaseId(),
                                                         .database_name = "orders",
                                                         .peer = "s3",
                                                         .term = database.term(),
                                                         .chunk_bytes = options.chunk_bytes,
                                                         .rate = &given_rate},
                                     database.log(), page_source, link->source_end());
    copier->OnConnected(link->copier_end(), "s1", clock.Now());
    if (!seed_target) return;
    seed_target->SetRate(&taken_rate);
    seed_target->OnConnected(link->copier_end(), "s1", clock.Now());
  }
  void Disconnect(const std::string& cause) {
    copier->OnDisconnected(cause, clock.Now());
    if (seed_target) seed_target->OnDisconnected(cause, clock.Now());
    source.reset();
    seed_source.reset();
    link.reset();
  }
  // The passive's process dies and comes back.
  void CrashPassive(bool power_cut) {
    if (link) Disconnect("crash");
    seed_target.reset();
    copier.reset();
    passive_log.reset();
    if (power_cut) {
      passive_env.PowerCut(random());
    } else {
      passive_env.ProcessCrash();
    }
    OpenPassive();
  }

  // One turn of everybody; true when something happened at this time.
  bool Turn() {
    bool worked = false;
    if (!link) return false;
    while (auto message = link->source_end().Receive()) {
      worked = true;
      ++messages_to_source;
      if (tamper_to_source) tamper_to_source(*message);
      if (IsOfSeed(*message)) {
        seed_source->OnMessage(std::move(*message), clock.Now());
      } else {
        source->OnMessage(std::move(*message), clock.Now());
      }
    }
    while (auto message = link->copier_end().Receive()) {
      worked = true;
      ++messages_to_copier;
      CountParts(*message);
      if (tamper_to_copier && !tamper_to_copier(*message)) continue;
      Message copy = *message;
      if (seed_target) seed_target->OnMessage(std::move(copy), clock.Now());
      copier->OnMessage(std::move(*message), clock.Now());
    }
    if (!stall_copier) worked |= Note(copier->RunOnce(clock.Now()));
    if (seed_target) worked |= Note(seed_target->RunOnce(clock.Now()));
    worked |= Note(source->RunOnce(clock.Now()));
    worked |= Note(seed_source->RunOnce(clock.Now()));
    in_flight_max = std::max(in_flight_max, source->status().in_flight_bytes);
    seed_in_flight_max = std::max(seed_in_flight_max, seed_source->status().in_flight_bytes);
    return worked;
  }

  // Until `done`, or nothing happens for a simulated minute, or too many turns.
  bool RunUntil(const std::function<bool()>& done, int turns_max = 200000) {
    base::SteadyTime quiet_since = clock.Now();
    for (int i = 0; i < turns_max; ++i) {
      if (done()) return true;
      if (link && link->closed()) return false;
      next_ = base::SteadyTime::max();
      if (Turn()) {
        quiet_since = clock.Now();
        continue;
      }
      if (clock.Now() - quiet_since > std::chrono::seconds(60)) return false;
      for (test::SimChannel* end : {&link->copier_end(), &link->source_end()}) {
        if (const auto arrival = end->NextArrival()) next_ = std::min(next_, *arrival);
      }
      const base::Duration step = next_ == base::SteadyTime::max() || next_ <= clock.Now()
                                      ? base::Duration(std::chrono::milliseconds(10))
                                      : next_ - clock.Now();
      clock.Advance(std::min<base::Duration>(step, std::chrono::seconds(1)));
    }
    return false;
  }
  bool CaughtUp() {
    return passive_log->durable() == database.log().durable() &&
           (!source || source->status().durable == passive_log->durable());
  }
  bool RunUntilCaughtUp() {
    return RunUntil([this] { return CaughtUp(); });
  }

  static std::vector<std::pair<uint64_t, base::Bytes>> AllParts(log::LogStore& log,
                                                                base::Seq after) {
    std::vector<std::pair<uint64_t, base::Bytes>> parts;
    auto reader = log.ReadAfter(after);
    EXPECT_TRUE(reader.ok()) << reader.status().ToString();
    if (!reader.ok()) return parts;
    while (true) {
      auto item = (*reader)->Next();
      EXPECT_TRUE(item.ok()) << item.status().ToString();
      if (!item.ok() || !*item) return parts;
      const auto bytes = (**item).part.bytes;
      parts.emplace_back((**item).generation.value, base::Bytes(bytes.begin(), bytes.end()));
    }
  }
  void ExpectEqualLogs() {
    const base::Seq after(passive_log->first_seq().value - 1);
    EXPECT_EQ(passive_log->end(), database.log().end());
    EXPECT_TRUE(AllParts(*passive_log, after) == AllParts(database.log(), after));
  }
  base::Bytes PassiveFile() {
    auto content = env::ReadFile(passive_env, "/passive/orders.db", 1 << 30);
    EXPECT_TRUE(content.ok()) << content.status().ToString();
    return content.ok() ? *content : base::Bytes();
  }

  const Options options;
  test::SimClock clock;
  test::MemEnv active_env;
  test::MemEnv passive_env;
  test::SimNetwork network;
  std::mt19937_64 random;
  OracleDatabase database;
  OraclePages page_source;
  base::RateLimit given_rate;  // of seeds; no limit unless a test sets one
  base::RateLimit taken_rate;
  std::unique_ptr<log::LogStore> passive_log;
  std::unique_ptr<LogCopier> copier;
  std::unique_ptr<SeedTarget> seed_target;
  std::unique_ptr<test::SimLink> link;
  std::unique_ptr<LogSource> source;
  std::unique_ptr<SeedSource> seed_source;
  std::function<void(Message&)> tamper_to_source;
  std::function<bool(Message&)> tamper_to_copier;  // false: swallow it
  bool stall_copier = false;
  uint64_t messages_to_source = 0;
  uint64_t messages_to_copier = 0;
  uint64_t part_bytes_to_copier = 0;
  uint64_t in_flight_max = 0;
  uint64_t seed_in_flight_max = 0;

 private:
  bool Note(const RunResult& result) {
    next_ = std::min(next_, result.next);
    return result.worked;
  }
  void CountParts(const Message& message) {
    const auto* parts = std::get_if<Parts>(&message);
    if (parts == nullptr) return;
    for (const base::Bytes& part : parts->parts) part_bytes_to_copier += part.size();
  }

  base::SteadyTime next_;
};

}  // namespace understudy::ship
