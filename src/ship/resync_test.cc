// SPDX-License-Identifier: Apache-2.0
// A seed that begins with pages that are here: equal to a full one, but for what it costs.
#include "ship/seed_test_rig.h"
#include "testing/fault_env.h"

namespace understudy::ship {
namespace {

struct Resync {
  explicit Resync(Rig::Options options) : base(std::make_shared<BaseInMemory::Content>()) {
    base->page_size = options.page_size;
    options.base = [content = base] { return std::make_unique<BaseInMemory>(content); };
    rig = std::make_unique<Rig>(options);
    base->images = rig->database.MarkedImage();
  }
  // As a copy that has diverged: other content in `count` pages.
  void Diverge(uint32_t count, std::mt19937_64& random) {
    for (uint32_t i = 0; i < count; ++i) {
      const size_t at = random() % (base->images.size() / base->page_size) * base->page_size;
      for (int k = 0; k < 16; ++k) {
        base->images[at + random() % base->page_size] = static_cast<uint8_t>(random());
      }
    }
  }
  std::shared_ptr<BaseInMemory::Content> base;
  std::unique_ptr<Rig> rig;
};

uint64_t CostOf(const Rig& rig) {
  return rig.seed_target->status().bytes_received + rig.seed_target->status().hash_bytes_sent;
}

TEST(Resync, OfOnePercentOfThePagesCostsAtMostFivePercentOfASeed) {
  Rig::Options options = SeedOptions(1);
  options.page_size = 4096;
  options.pages = 8000;
  options.chunk_bytes = kSeedChunkBytesMax;
  Rig full(options);
  full.Connect();
  ASSERT_TRUE(full.RunUntil([&] { return Ended(full); }));
  ExpectSeeded(full);
  EXPECT_FALSE(full.seed_target->status().resync);

  Resync resync(options);
  Rig& rig = *resync.rig;
  resync.Diverge(options.pages / 100, rig.random);
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  ExpectSeeded(rig);
  EXPECT_TRUE(rig.PassiveFile() == full.PassiveFile());
  EXPECT_TRUE(rig.seed_target->status().resync);
  EXPECT_LE(rig.seed_target->status().pages_fetched, options.pages / 100);
  EXPECT_LE(CostOf(rig) * 20, CostOf(full));
  RecordProperty("full_seed_bytes", static_cast<int>(CostOf(full)));
  RecordProperty("resync_bytes", static_cast<int>(CostOf(rig)));
}

TEST(Resync, WhileTheDatabaseIsWrittenGrowsAndShrinks) {
  uint64_t fetched = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Resync resync(SeedOptions(seed));
    Rig& rig = *resync.rig;
    resync.Diverge(static_cast<uint32_t>(seed), rig.random);
    for (int i = 0; i < 5; ++i) rig.database.CommitAndSync();
    rig.Connect();
    ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
    ExpectSeeded(rig);
    EXPECT_EQ(rig.seed_target->status().attempt, 1);
    EXPECT_EQ(rig.seed_target->status().rejected_chunks, 0u);
    fetched += rig.seed_target->status().pages_fetched;
    rig.database.Sync();
    ASSERT_TRUE(rig.RunUntilCaughtUp());
  }
  EXPECT_LT(fetched, 40u * 120u * 4 / 5);  // the load changes most pages meanwhile
}

TEST(Resync, GoesOnAfterACutAtEveryMessage) {
  uint64_t cuts = 0;
  for (uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    Resync resync(SeedOptions(at));
    Rig& rig = *resync.rig;
    resync.Diverge(10, rig.random);
    rig.Connect();
    rig.link->CutAfter(at);
    const bool whole = RunUnderLoad(rig);
    if (!whole) {
      ++cuts;
      rig.Disconnect("cut by the test");
      rig.database.CommitAndSync();
      rig.Connect();
      ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
    }
    ExpectSeeded(rig);
    EXPECT_EQ(rig.seed_target->status().attempt, 1);
    EXPECT_LE(rig.page_source.taken(), 90u);
    if (whole) break;
  }
  EXPECT_GT(cuts, 60u);
}

// The pages that are here may be others after each restart, or none.
TEST(Resync, GoesOnAfterKillsAndPowerCutsOfThePassive) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Resync resync(SeedOptions(seed));
    Rig& rig = *resync.rig;
    for (int life = 0; life < 8 && !Ended(rig); ++life) {
      rig.Connect();
      RunUnderLoad(rig, 60 + static_cast<int>(rig.random() % 300));
      if (Ended(rig)) break;
      resync.Diverge(20, rig.random);
      if (life == 3) resync.base->images.resize(10240);
      rig.CrashPassive(seed % 2 == 0);
    }
    if (!Ended(rig)) {
      rig.Connect();
      ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
    }
    ExpectSeeded(rig);
  }
}

TEST(Resync, GoesOnAfterAFailureOfEveryFileOperation) {
  for (int nth = 1;; nth += nth < 60 ? 1 : 11) {
    SCOPED_TRACE(nth);
    Rig::Options small = SeedOptions(3);
    small.pages = 30;
    Resync resync(small);
    Rig& rig = *resync.rig;
    resync.Diverge(5, rig.random);
    test::FaultEnv faulty(rig.passive_env);
    rig.seed_target.reset();
    SeedTarget::Options options;
    options.database = TestDatabaseId();
    options.database_name = "orders";
    options.path = "/passive/orders.db";
    options.checkpoint_path = "/passive/orders.checkpoint";
    options.window_bytes = kWindowBytesMin;
    faulty.Arm({.nth = static_cast<uint64_t>(nth), .halt_after = true});
    auto opened = SeedTarget::Open(faulty, options, *rig.passive_log,
                                   std::make_unique<BaseInMemory>(resync.base));
    if (opened.ok()) {
      rig.seed_target = std::move(opened).value();
      rig.Connect();
      RunUnderLoad(rig);
    }
    const bool whole =
        rig.seed_target && rig.seed_target->status().state == SeedTarget::State::kDone;
    faulty.Disarm();
    if (!whole) {
      rig.CrashPassive(nth % 2 == 0);
      rig.Connect();
      ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
    }
    ExpectSeeded(rig);
    if (whole) {
      EXPECT_GT(nth, 40);
      break;
    }
    ASSERT_LT(nth, 20000);
  }
}

TEST(Resync, TakesWhatIsOfUseInAnyBase) {
  struct Case {
    const char* what;
    std::function<void(BaseInMemory::Content&)> make;
    uint64_t fetched_min, fetched_max;
  };
  const size_t page = SeedOptions(1).page_size;
  const Case cases[] = {
      {"equal", [](auto&) {}, 0, 0},
      {"empty", [](auto& c) { c.images.clear(); }, 120, 120},
      {"one page", [&](auto& c) { c.images.resize(page); }, 119, 119},
      {"shorter", [&](auto& c) { c.images.resize(70 * page); }, 50, 50},
      {"cut within a page", [&](auto& c) { c.images.resize(70 * page + 7); }, 50, 50},
      {"longer", [&](auto& c) { c.images.resize(300 * page, 7); }, 0, 0},
      {"smaller pages", [](auto& c) { c.page_size = 512; }, 120, 120},
      {"larger pages", [](auto& c) { c.page_size = 4096; }, 120, 120},
      {"a flipped byte", [&](auto& c) { c.images[5 * page + 100] ^= 1; }, 1, 1},
      {"a flipped byte in the header", [](auto& c) { c.images[0] ^= 1; }, 1, 1},
      {"no mark", [](auto& c) { c.images[18] = 2; }, 0, 0},
      {"bytes of anything", [](auto& c) { std::fill(c.images.begin(), c.images.end(), 0xa5); }, 120,
       120},
      {"pages that cannot be read", [](auto& c) { c.fail_every = 4; }, 28, 28},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Resync resync(SeedOptions(2));
    Rig& rig = *resync.rig;
    c.make(*resync.base);
    rig.Connect();
    ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
    ExpectSeeded(rig);
    EXPECT_TRUE(rig.PassiveFile() == rig.database.MarkedImage());
    EXPECT_GE(rig.seed_target->status().pages_fetched, c.fetched_min);
    EXPECT_LE(rig.seed_target->status().pages_fetched, c.fetched_max);
  }
}

TEST(Resync, AnnouncesNoMoreThanTheLookAhead) {
  Rig::Options options = SeedOptions(4);
  options.pages = 2000;
  Resync resync(options);
  Rig& rig = *resync.rig;
  rig.Connect();
  uint32_t announced = 0;
  uint32_t received = 0;
  uint32_t ahead_max = 0;
  rig.tamper_to_source = [&](Message& message) {
    const auto* hashes = std::get_if<SeedHashes>(&message);
    if (hashes == nullptr) return;
    announced = hashes->chunk + 1;
    ahead_max = std::max(ahead_max, announced - received);
  };
  rig.tamper_to_copier = [&](Message& message) {
    if (const auto* chunk = std::get_if<SeedChunk>(&message)) received = chunk->chunk + 1;
    return true;
  };
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  ExpectSeeded(rig);
  EXPECT_EQ(announced, 500u);
  EXPECT_LE(ahead_max, kSeedHashesAheadMax);
  EXPECT_GT(ahead_max, 4u);
}

TEST(Resync, HashesOutOfOrderAreRefused) {
  Resync resync(SeedOptions(5));
  Rig& rig = *resync.rig;
  rig.Connect();
  rig.tamper_to_source = [](Message& message) {
    auto* hashes = std::get_if<SeedHashes>(&message);
    if (hashes != nullptr && hashes->chunk == 7) hashes->chunk = 9;
  };
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  EXPECT_EQ(rig.seed_target->status().state, SeedTarget::State::kFailed);
  EXPECT_NE(rig.seed_target->status().failure.message().find("hashes of chunk 9"),
            std::string::npos)
      << rig.seed_target->status().failure.ToString();
}

TEST(Resync, PagesLeftOutThatWereNotAnnouncedAreAskedForAgain) {
  Rig rig(SeedOptions(6));  // a full seed
  rig.Connect();
  bool done = false;
  rig.tamper_to_copier = [&](Message& message) {
    auto* chunk = std::get_if<SeedChunk>(&message);
    if (chunk == nullptr || chunk->chunk != 3 || std::exchange(done, true)) return true;
    chunk->unchanged = {0x0f};
    chunk->pages_zstd.clear();
    return true;
  };
  ASSERT_TRUE(RunUnderLoad(rig));
  ExpectSeeded(rig);
  EXPECT_EQ(rig.seed_target->status().rejected_chunks, 1u);
}

// Hashes that lie: found by the checksum. The last attempt takes nothing from here.
TEST(Resync, WrongPagesAreFoundByTheChecksumAndAllAreFetchedInTheEnd) {
  Resync resync(SeedOptions(7));
  Rig& rig = *resync.rig;
  const base::PageNo page(33);
  resync.base->images[size_t{page.value - 1} * rig.options.page_size] ^= 1;
  rig.tamper_to_source = [&](Message& message) {
    auto* hashes = std::get_if<SeedHashes>(&message);
    if (hashes == nullptr || hashes->chunk != 8) return;
    hashes->hashes[0] = log::HashPage(page, rig.database.ImageOf(page.value));
  };
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  ExpectSeeded(rig);
  EXPECT_EQ(rig.seed_target->status().attempt, SeedTarget::kAttemptsMax);
  EXPECT_FALSE(rig.seed_target->status().resync);
}

}  // namespace
}  // namespace understudy::ship
