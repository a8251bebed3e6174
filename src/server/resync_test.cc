// SPDX-License-Identifier: Apache-2.0
// A passive copy that has to get other pages, against a real source of log and seeds. The test's
// thread is the link thread; replay has its own, as in the daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cluster/embedded_coordinator.h"
#include "replay/log_fixture.h"
#include "server/passive_copy.h"
#include "ship/log_source.h"
#include "ship/seed_source.h"
#include "testing/sim_network.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;

constexpr auto kTestLimit = std::chrono::seconds(60);
constexpr auto kSlice = std::chrono::milliseconds(2);

class FixturePages final : public ship::PageSource {
 public:
  explicit FixturePages(replay::test::LogFixture& fixture) : fixture_(fixture) {}
  base::Status Request(base::PageNo first, uint32_t count) override {
    first_ = first;
    count_ = count;
    return {};
  }
  base::Result<std::optional<ship::SeedPages>> TryTake() override {
    ship::SeedPages pages;
    pages.first_page = first_;
    pages.at = fixture_.log().end();
    for (uint32_t i = 0; i < count_; ++i) {
      const auto found = fixture_.images().find(first_.value + i);
      if (found == fixture_.images().end()) break;
      base::AppendBytes(pages.images, found->second);
      ++pages.page_count;
    }
    return std::optional(std::move(pages));
  }

 private:
  replay::test::LogFixture& fixture_;
  base::PageNo first_;
  uint32_t count_ = 0;
};

class ResyncTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    ASSERT_TRUE(coordinator.ok()) << coordinator.status().ToString();
    coordinator_ = std::move(coordinator).value();
    registry_ = std::make_unique<cluster::Registry>(env_, *coordinator_);
    settings_ = std::make_unique<Settings>(config_);
    fixture_.Insert(4000);
    fixture_.Capture();
    paths_ = PathsOf(data_dir(), "t");
    ASSERT_TRUE(env_.MakeDirectories(data_dir()).ok());
    ASSERT_TRUE(ClaimCopyDirectory(env_, data_dir(), "t", fixture_.id()).ok());
    path_ = env::JoinPath(paths_.directory, "t.db");
    fixture_.Seed(env_, path_, paths_.checkpoint);
    std::filesystem::copy(fixture_.File("log"), paths_.log);
  }
  void TearDown() override {
    if (copy_) copy_->Shut();
  }
  std::string data_dir() const { return directory_.File("data"); }

  // The copy was active and went on: `count` records of its own, as real as any.
  void GoOnAlone(int count) {
    auto log = log::LogStore::Open(env_, {.directory = paths_.log, .database = fixture_.id()});
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    struct Sink final : log::PartSink {
      log::LogStore& store;
      explicit Sink(log::LogStore& s) : store(s) {}
      base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
        return store.Append(part);
      }
    } sink(**log);
    log::RecordEncoder encoder({.database = fixture_.id(), .page_size = 4096},
                               [](base::PageNo, std::span<uint8_t>) { return false; });
    log::PageTable table = fixture_.table();
    alone_ = fixture_.images();
    const log::LogEnd end = (*log)->end();
    for (int i = 1; i <= count; ++i) {
      const base::Seq seq(end.position.seq.value + static_cast<uint64_t>(i));
      encoder.Begin({.term = end.position.term,
                     .seq_first = seq,
                     .seq_last = seq,
                     .commit_time = {1'800'000'000'000 + i},
                     .pages_after = end.pages,
                     .source = {}},
                    table, sink);
      const uint32_t page = end.pages - static_cast<uint32_t>(i % 3);
      alone_[page].back() ^= 0x55;
      ASSERT_TRUE(encoder.AddPage(base::PageNo(page), alone_[page]).ok());
      ASSERT_TRUE(encoder.Finish().ok());
    }
    ASSERT_TRUE((*log)->Sync().ok());
  }
  void Start() {
    const ServerContext context{env_, *settings_, *registry_, events_, authority_, promises_, "s2"};
    copy_ = std::make_unique<PassiveCopy>(
        context, PassiveCopy::Options{"t", fixture_.id(), 0, path_, paths_}, signal_);
    copy_->SetTermKnown(term_);
    copy_->SetHistory(history_);
    link_ = network_.Connect({.delay_min = {}, .delay_max = {}});
    source_ =
        std::make_unique<ship::LogSource>(ship::LogSource::Options{fixture_.id(), "t", "s2", term_},
                                          fixture_.log(), link_->source_end());
    seed_source_ = std::make_unique<ship::SeedSource>(
        env_, ship::SeedSource::Options{.database = fixture_.id(), .peer = "s2", .term = term_},
        fixture_.log(), pages_, link_->source_end());
    copy_->OnConnected(link_->copier_end(), "s1", env_.Now());
  }
  void Stop() {
    copy_->Shut();
    copy_.reset();
  }
  // The group goes on in another term, from here.
  void NewTerm() {
    const base::Position after = fixture_.log().end().position;
    fixture_.Mount();
    term_ = fixture_.log().end().position.term;
    history_.push_back({term_, after, "s1", {1'767'225'600'123}, "failover"});
    fixture_.Insert(20);
    fixture_.Capture();
  }
  bool Turn() {
    const base::SteadyTime now = env_.Now();
    bool worked = false;
    while (auto message = link_->source_end().Receive()) {
      worked = true;
      if (ship::IsOfSeed(*message)) {
        seed_source_->OnMessage(std::move(*message), now);
      } else {
        source_->OnMessage(std::move(*message), now);
      }
    }
    while (auto message = link_->copier_end().Receive()) {
      worked = true;
      copy_->OnMessage(std::move(*message), now);
    }
    worked |= copy_->RunOnce(now).worked;
    worked |= source_->RunOnce(now).worked;
    worked |= seed_source_->RunOnce(now).worked;
    const std::string state = copy_->Status().state();
    if (states_.empty() || states_.back() != state) states_.push_back(state);
    while (auto event = events_.Take()) heard_.push_back(*event);
    return worked;
  }
  void RunUntil(const std::function<bool()>& done) {
    const base::SteadyTime end = env_.Now() + kTestLimit;
    while (!done()) {
      ASSERT_LT(env_.Now(), end) << copy_->Status().DebugString();
      const uint64_t seen = signal_->count();
      if (!Turn() && !done()) signal_->WaitFor(seen, kSlice);
    }
  }
  bool Follows() {
    return copy_->Status().state() == "Healthy" &&
           copy_->Status().replayed().seq() == fixture_.log().end().position.seq.value;
  }
  // The copy's file is the active database.
  void ExpectEqual() {
    Stop();
    Checkpoint();
    std::ifstream file(path_, std::ios::binary);
    for (const auto& [page, image] : fixture_.images()) {
      base::Bytes here(4096);
      ASSERT_TRUE(file.read(reinterpret_cast<char*>(here.data()), 4096)) << page;
      if (page == 1) here[log::kWriteVersionOffset] = log::kWriteVersionWal;
      ASSERT_TRUE(here == image) << page;
    }
  }
  void Checkpoint() {
    auto connection = sqlite::Connection::Open(path_, {});
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE((*connection)->Checkpoint("TRUNCATE").ok());
  }
  std::string TextOf(EventNumber number) const {
    for (const cluster::Event& event : heard_) {
      if (event.number == number) return event.message;
    }
    return "";
  }
  std::vector<LostBundle> Lost() { return ListLost(env_, data_dir()).value(); }

  env::Env& env_ = env::PosixEnv();
  Config config_;
  test::TempDir directory_;
  replay::test::LogFixture fixture_;
  FixturePages pages_{fixture_};
  std::shared_ptr<rpc::Signal> signal_ = std::make_shared<rpc::Signal>();
  EventLog events_{env_, "s2", std::make_shared<rpc::Signal>()};
  Authority authority_{env_, std::chrono::seconds(6)};
  Promises promises_{env_};
  std::unique_ptr<cluster::EmbeddedCoordinator> coordinator_;
  std::unique_ptr<cluster::Registry> registry_;
  std::unique_ptr<Settings> settings_;
  CopyPaths paths_;
  std::string path_;
  base::Term term_{1};
  std::vector<cluster::TermStart> history_{{base::Term(1), {}, "s2", {}, "mount"}};
  replay::test::Images alone_;  // what the copy had before it was resynchronised
  test::SimClock clock_;
  test::SimNetwork network_{clock_, 1};
  std::unique_ptr<test::SimLink> link_;
  std::unique_ptr<ship::LogSource> source_;
  std::unique_ptr<ship::SeedSource> seed_source_;
  std::unique_ptr<PassiveCopy> copy_;
  std::vector<std::string> states_;
  std::vector<cluster::Event> heard_;
};

TEST_F(ResyncTest, SavesWhatTheGroupWentOnWithoutAndFetchesThePagesThatDiffer) {
  GoOnAlone(7);
  NewTerm();
  Start();
  RunUntil([&] { return Follows(); });
  EXPECT_THAT(states_, ::testing::Contains("Resynchronizing"));
  EXPECT_THAT(states_, ::testing::Not(::testing::Contains("Seeding")));
  EXPECT_THAT(states_, ::testing::Not(::testing::Contains("Failed")));
  EXPECT_THAT(TextOf(EventNumber::kResyncCompleted), ::testing::HasSubstr("pages were fetched"));
  EXPECT_LT(seed_source_->status().bytes_sent, 40u * 4096u);
  ASSERT_EQ(Lost().size(), 1u);
  const LostBundle lost = Lost()[0];
  ASSERT_TRUE(lost.damaged.ok()) << lost.damaged.ToString();
  EXPECT_EQ(lost.manifest.records, 7u);
  EXPECT_EQ(lost.manifest.first, (base::Position{base::Term(1), base::Seq(3)}));
  EXPECT_EQ(lost.manifest.pages, 3u);
  EXPECT_EQ(lost.manifest.newer.reason, "failover");
  EXPECT_THAT(TextOf(EventNumber::kLostLogSaved),
              ::testing::HasSubstr("understudy lost show " + lost.manifest.id));
  // Its database is what the copy had, to the last of its commits.
  const auto kept =
      env::ReadFile(env_, env::JoinPath(lost.directory, kLostDatabase), uint64_t{1} << 30);
  ASSERT_TRUE(kept.ok()) << lost.manifest.database_left_out;
  base::Bytes expected;
  for (const auto& [page, image] : alone_) base::AppendBytes(expected, image);
  expected[18] = expected[19] = 1;
  EXPECT_TRUE(*kept == expected);
  ExpectEqual();
  EXPECT_FALSE(env::Exists(env_, env::JoinPath(paths_.directory, ".reseed")));
}

TEST_F(ResyncTest, GoesOnWhereverItWasStopped) {
  GoOnAlone(7);
  NewTerm();
  for (int stops = 0, turns = 1; stops < 40; ++stops, turns = 1 + (turns + 1) % 5) {
    Start();
    for (int i = 0; i < turns && !Follows(); ++i) {
      const uint64_t seen = signal_->count();
      if (!Turn()) signal_->WaitFor(seen, kSlice);
    }
    Stop();
  }
  Start();
  RunUntil([&] { return Follows(); });
  ASSERT_EQ(Lost().size(), 1u);
  EXPECT_EQ(Lost()[0].manifest.records, 7u);
  ExpectEqual();
}

TEST_F(ResyncTest, WaitsUntilTheRegistryKnowsTheSourcesTerm) {
  GoOnAlone(2);
  const std::vector<cluster::TermStart> old = history_;
  NewTerm();
  const std::vector<cluster::TermStart> now = history_;
  history_ = old;
  Start();
  RunUntil([&] { return copy_->Status().error_code() == "diverged"; });
  for (int i = 0; i < 20; ++i) Turn();
  EXPECT_TRUE(Lost().empty());
  copy_->SetHistory(now);
  RunUntil([&] { return Follows(); });
  ASSERT_EQ(Lost().size(), 1u);
  EXPECT_EQ(Lost()[0].manifest.records, 2u);  // not all of the log
}

TEST_F(ResyncTest, AFileThatSqliteCannotReadIsOfUseAllTheSame) {
  Start();
  RunUntil([&] { return Follows(); });
  Stop();
  {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.write("not a database", 14);
  }
  Start();
  RunUntil([&] { return Follows(); });
  EXPECT_THAT(TextOf(EventNumber::kResyncCompleted), ::testing::HasSubstr("pages were fetched"));
  EXPECT_LT(seed_source_->status().bytes_sent, fixture_.images().size() * 4096 / 20);
  EXPECT_TRUE(Lost().empty());
  ExpectEqual();
}

TEST_F(ResyncTest, WhatIsNoPageFileIsFetchedWhole) {
  {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    file << "short";
  }
  Start();
  RunUntil([&] { return Follows(); });
  EXPECT_NE(TextOf(EventNumber::kSeedCompleted), "");
  EXPECT_EQ(TextOf(EventNumber::kResyncCompleted), "");
  ExpectEqual();
}

TEST_F(ResyncTest, KeepsALogThatIsDamagedAndGoesOnWithoutIt) {
  const std::string first = env::JoinPath(paths_.log, "0000000000000001.ulog");
  ASSERT_TRUE(std::filesystem::exists(first));
  {
    std::fstream file(first, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(20);
    file.write("damage", 6);
  }
  Start();
  RunUntil([&] { return Follows(); });
  ASSERT_EQ(Lost().size(), 1u);
  EXPECT_EQ(Lost()[0].manifest.records, 0u);
  EXPECT_THAT(TextOf(EventNumber::kLostLogSaved), ::testing::HasSubstr("damaged"));
  ExpectEqual();
}

TEST_F(ResyncTest, APersonAsksForDifferingPagesOrForAll) {
  Start();
  RunUntil([&] { return Follows(); });
  const uint64_t before = seed_source_->status().bytes_sent;
  ASSERT_TRUE(copy_->RequestReseed(false).ok());
  EXPECT_TRUE(copy_->Status().reseeding());  // at once, so that nobody takes it for done
  RunUntil([&] { return !copy_->Status().reseeding() && Follows(); });
  EXPECT_NE(TextOf(EventNumber::kResyncCompleted), "");
  EXPECT_EQ(seed_source_->status().bytes_sent, before);  // nothing differs
  ASSERT_TRUE(copy_->RequestReseed(true).ok());
  RunUntil([&] { return copy_->Status().state() == "Seeding"; });
  EXPECT_EQ(copy_->RequestReseed(true).code(), base::Code::kBusy);
  RunUntil([&] { return TextOf(EventNumber::kSeedCompleted) != "" && Follows(); });
  EXPECT_GT(seed_source_->status().bytes_sent, before + 1000);
  EXPECT_TRUE(Lost().empty());
  copy_->SetSuspended(true, "a test");
  EXPECT_EQ(copy_->RequestReseed(false).code(), base::Code::kInvalidArgument);
  copy_->SetSuspended(false, "");
  ExpectEqual();
}

}  // namespace
}  // namespace understudy::server
