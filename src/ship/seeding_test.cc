// SPDX-License-Identifier: Apache-2.0
// SeedSource and SeedTarget: a database is seeded while it is written, cut, killed, shrunk.
#include "ship/seed_test_rig.h"
#include "testing/fault_env.h"

namespace understudy::ship {
namespace {

TEST(Seeding, AnIdleDatabase) {
  Rig rig(SeedOptions(1));
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  ExpectSeeded(rig);
  EXPECT_TRUE(rig.PassiveFile() == rig.database.MarkedImage());
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.copier->status().state, CopyState::kHealthy);
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  // The seed's hold has given way to the copier's.
  ASSERT_TRUE(rig.RunUntil([&] { return rig.database.log().holds().size() == 1; }));
  EXPECT_EQ(rig.database.log().holds()[0].name, "passive s3");
}

TEST(Seeding, WhileTheDatabaseIsWrittenGrowsAndShrinks) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Rig rig(SeedOptions(seed));
    rig.Connect();
    ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
    ExpectSeeded(rig);
    EXPECT_EQ(rig.seed_target->status().attempt, 1);
    EXPECT_EQ(rig.seed_target->status().rejected_chunks, 0u);
    rig.database.Sync();
    ASSERT_TRUE(rig.RunUntilCaughtUp());
  }
}

TEST(Seeding, GoesOnAfterACutAtEveryMessage) {
  uint64_t cuts = 0;
  for (uint64_t at = 1;; ++at) {
    SCOPED_TRACE(at);
    Rig rig(SeedOptions(at));
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
    // At most what was under way is read again.
    EXPECT_LE(rig.page_source.taken(), 80u);
    if (whole) break;
  }
  EXPECT_GT(cuts, 30u);
}

TEST(Seeding, GoesOnAfterKillsAndPowerCutsOfThePassive) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    const bool power_cut = seed % 2 == 0;
    Rig rig(SeedOptions(seed));
    for (int life = 0; life < 8 && !Ended(rig); ++life) {
      rig.Connect();
      RunUnderLoad(rig, 60 + static_cast<int>(rig.random() % 300));
      if (Ended(rig)) break;
      rig.CrashPassive(power_cut);
    }
    if (!Ended(rig)) {
      rig.Connect();
      ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
    }
    ExpectSeeded(rig);
  }
}

// Every operation on files may be the last one before the process dies.
TEST(Seeding, GoesOnAfterAFailureOfEveryFileOperation) {
  // All of the first and the last, some of the many reads and writes of pages in between.
  for (int nth = 1;; nth += nth < 60 ? 1 : 11) {
    SCOPED_TRACE(nth);
    Rig::Options small = SeedOptions(3);
    small.pages = 30;
    Rig rig(small);
    test::FaultEnv faulty(rig.passive_env);
    rig.seed_target.reset();
    SeedTarget::Options options;
    options.database = TestDatabaseId();
    options.database_name = "orders";
    options.path = "/passive/orders.db";
    options.checkpoint_path = "/passive/orders.checkpoint";
    options.window_bytes = kWindowBytesMin;
    faulty.Arm({.nth = static_cast<uint64_t>(nth), .halt_after = true});
    auto opened = SeedTarget::Open(faulty, options, *rig.passive_log);
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
    if (whole) break;
    ASSERT_LT(nth, 20000);
  }
}

TEST(Seeding, ChunksThatComeTwiceOrDamagedDoNoHarm) {
  Rig rig(SeedOptions(5));
  rig.Connect();
  uint64_t damaged = 0;
  rig.tamper_to_copier = [&](Message& message) {
    auto* chunk = std::get_if<SeedChunk>(&message);
    if (chunk == nullptr) return true;
    rig.seed_target->OnMessage(SeedChunk(*chunk), rig.clock.Now());  // and again, below
    if (chunk->chunk % 7 == 3 && damaged < 4) {
      ++damaged;
      rig.seed_target->OnMessage(SeedChunk(*chunk), rig.clock.Now());
    }
    return true;
  };
  ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
  ExpectSeeded(rig);

  Rig other(SeedOptions(6));
  other.Connect();
  damaged = 0;
  other.tamper_to_copier = [&](Message& message) {
    auto* chunk = std::get_if<SeedChunk>(&message);
    if (chunk != nullptr && chunk->chunk % 7 == 3 && damaged < 4) {
      ++damaged;
      chunk->pages_zstd[chunk->pages_zstd.size() / 2] ^= 1;
    }
    return true;
  };
  ASSERT_TRUE(RunUnderLoad(other)) << other.seed_target->status().last_event;
  ExpectSeeded(other);
  EXPECT_GE(other.seed_target->status().rejected_chunks, 1u);
  EXPECT_EQ(other.seed_target->status().attempt, 1);
}

TEST(Seeding, WrongPagesAreFoundByTheChecksumAndSeededAnew) {
  Rig rig(SeedOptions(7));
  rig.Connect();
  bool done = false;
  // A chunk that says it is newer than it is: what happened in between is missing.
  rig.tamper_to_copier = [&](Message& message) {
    auto* chunk = std::get_if<SeedChunk>(&message);
    if (chunk != nullptr && chunk->chunk == 2 && !done) {
      done = true;
      rig.database.Commit(1000);
      rig.database.Sync();
      chunk->at = rig.database.log().durable();
    }
    return true;
  };
  ASSERT_TRUE(RunUnderLoad(rig));
  ExpectSeeded(rig);
  EXPECT_EQ(rig.seed_target->status().attempt, 2);
  EXPECT_NE(rig.seed_target->status().last_event.find("anew"), std::string::npos)
      << rig.seed_target->status().last_event;
}

TEST(Seeding, NeverExceedsTheWindow) {
  Rig::Options options = SeedOptions(8);
  options.page_size = 4096;
  options.pages = 2000;
  options.chunk_bytes = kSeedChunkBytesMax;
  Rig rig(options);
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  ExpectSeeded(rig);
  EXPECT_LE(rig.seed_in_flight_max, kWindowBytesMin);
  EXPECT_GT(rig.seed_in_flight_max, kWindowBytesMin / 4);
}

TEST(Seeding, NeverReplacesADatabaseUnlessTold) {
  Rig rig({.start_log = false});
  ASSERT_TRUE(rig.passive_env.MakeDirectories("/passive").ok());
  ASSERT_TRUE(
      env::WriteFileAtomically(rig.passive_env, "/passive/orders.db-wal", base::Bytes(10)).ok());
  SeedTarget::Options options;
  options.database = TestDatabaseId();
  options.path = "/passive/orders.db";
  options.checkpoint_path = "/passive/orders.checkpoint";
  EXPECT_EQ(SeedTarget::Open(rig.passive_env, options, *rig.passive_log).status().code(),
            base::Code::kAlreadyExists);

  Rig::Options replacing = SeedOptions(9);
  replacing.replace_existing = true;
  Rig told(replacing);
  for (const char* name : {"/passive/orders.db", "/passive/orders.db-wal"}) {
    ASSERT_TRUE(env::WriteFileAtomically(told.passive_env, name, base::Bytes(10)).ok());
  }
  told.Connect();
  ASSERT_TRUE(RunUnderLoad(told));
  ExpectSeeded(told);
  EXPECT_FALSE(env::Exists(told.passive_env, "/passive/orders.db-wal"));
}

TEST(Seeding, ACopyWithALogIsSeededAgainAndKeepsIt) {
  Rig::Options options = SeedOptions(10);
  Rig rig(options);
  rig.Connect();
  ASSERT_TRUE(RunUnderLoad(rig));
  ExpectSeeded(rig);
  rig.database.Sync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  const base::Seq first = rig.passive_log->first_seq();
  // The database is lost, the log is not.
  rig.Disconnect("test");
  ASSERT_TRUE(rig.passive_env.Remove("/passive/orders.db").ok());
  rig.OpenPassive();
  rig.database.CommitAndSync();
  rig.Connect();
  ASSERT_TRUE(RunUnderLoad(rig)) << rig.seed_target->status().last_event;
  ExpectSeeded(rig);
  EXPECT_EQ(rig.passive_log->first_seq(), first);
}

TEST(Seeding, CancelLeavesNothing) {
  Rig rig(SeedOptions(11));
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] {
    return rig.seed_target->status().chunks_durable > 0 ||
           rig.seed_target->status().bytes_received > 0;
  }));
  rig.seed_target->Cancel();
  EXPECT_EQ(rig.seed_target->status().failure.code(), base::Code::kCancelled);
  for (const char* name :
       {"/passive/orders.db", "/passive/orders.db.seeding", "/passive/orders.db.seeding.state"}) {
    EXPECT_FALSE(env::Exists(rig.passive_env, name));
  }
}

TEST(Seeding, TheHoldStaysWhileTheTargetIsAway) {
  Rig rig(SeedOptions(12));
  rig.Connect();
  rig.RunUntil([&] { return rig.seed_target->status().bytes_received > 0; });
  rig.Disconnect("cut");
  bool held = false;
  for (const log::Hold& hold : rig.database.log().holds()) {
    held |= hold.name == SeedSource::HoldName("s3");
  }
  EXPECT_TRUE(held);
}

// The rig's clock stands still but for what somebody waits for, so the time is that of the limit.
double SecondsOfSeed(Rig& rig) {
  const base::SteadyTime began = rig.clock.Now();
  rig.Connect();
  EXPECT_TRUE(rig.RunUntil([&] { return Ended(rig); })) << rig.seed_target->status().last_event;
  ExpectSeeded(rig);
  return std::chrono::duration<double>(rig.clock.Now() - began).count();
}

TEST(Seeding, TakesNoMoreThanTheRateOfTheOneThatGivesOrTakes) {
  Rig free(SeedOptions(5));
  const double unbounded = SecondsOfSeed(free);
  const auto bytes = static_cast<double>(free.seed_source->status().bytes_sent);
  for (const bool gives : {true, false}) {
    SCOPED_TRACE(gives);
    Rig rig(SeedOptions(5));
    (gives ? rig.given_rate : rig.taken_rate).SetRate(10'000);
    const double seconds = SecondsOfSeed(rig);
    EXPECT_GT(seconds, bytes / 10'000 * 0.9 - 0.2);
    EXPECT_LT(seconds, bytes / 10'000 * 1.5 + unbounded + 3);
    EXPECT_EQ(rig.seed_target->status().attempt, 1);
    EXPECT_EQ(rig.seed_target->status().rejected_chunks, 0u);
  }
}

TEST(Seeding, SlowRateIsNoSilence) {
  Rig rig(SeedOptions(6));
  rig.taken_rate.SetRate(50);  // a chunk takes longer than an answer may
  rig.Connect();
  const base::SteadyTime began = rig.clock.Now();
  while (rig.clock.Now() < began + std::chrono::seconds(600) && !Ended(rig)) {
    if (!rig.Turn()) rig.clock.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_FALSE(Ended(rig));
  EXPECT_GT(rig.seed_target->status().chunks_durable, 2u);
  EXPECT_EQ(rig.seed_target->status().resumes, 0u) << rig.seed_target->status().last_event;
  rig.taken_rate.SetRate(0);  // the limit is lifted while it is under way
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  ExpectSeeded(rig);
}

TEST(Seeding, BusySourceIsAskedAgainAndItsWordsAreTold) {
  Rig rig(SeedOptions(7));
  uint64_t refusals = 0;
  rig.tamper_to_copier = [&](Message& message) {
    auto* const start = std::get_if<SeedStart>(&message);
    if (start == nullptr || refusals == 5) return true;
    ++refusals;
    Refused refused;
    refused.database = start->database;
    refused.seed = true;
    refused.request = start->request;
    refused.code = base::Code::kBusy;
    refused.message = "2 seeds at once are under way";
    message = std::move(refused);
    return true;
  };
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return refusals == 3; }));
  rig.Turn();
  ASSERT_TRUE(rig.RunUntil([&] { return !rig.seed_target->status().waiting.empty(); }));
  EXPECT_EQ(rig.seed_target->status().waiting, "2 seeds at once are under way");
  ASSERT_TRUE(rig.RunUntil([&] { return Ended(rig); }));
  EXPECT_TRUE(rig.seed_target->status().waiting.empty());
  ExpectSeeded(rig);
  EXPECT_EQ(rig.seed_target->status().attempt, 1);
}

}  // namespace
}  // namespace understudy::ship
