// SPDX-License-Identifier: Apache-2.0
// LogSource and LogCopier against each other over a simulated network.
#include "ship/ship_test_rig.h"

namespace understudy::ship {
namespace {

TEST(Copying, PassiveLogIsByteIdenticalWithItsGenerationNumbers) {
  Rig rig({.pages = 200});
  rig.Connect();
  for (int i = 0; i < 300; ++i) rig.database.Commit(10);
  rig.database.Sync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  EXPECT_GT(rig.passive_log->generations().size(), 2u);
  EXPECT_EQ(rig.copier->status().state, CopyState::kHealthy);
  EXPECT_EQ(rig.copier->status().copy_queue, 0u);
  EXPECT_EQ(rig.copier->status().counters.rejected, 0u);
}

TEST(Copying, GoesFromFileToBlockModeAndBack) {
  Rig rig({.pages = 200});
  for (int i = 0; i < 100; ++i) rig.database.Commit(20);
  rig.database.Sync();
  rig.Connect();
  EXPECT_EQ(rig.source->status().mode, ShipMode::kFile);
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.source->status().mode, ShipMode::kBlock);
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.copier->status().mode, ShipMode::kBlock);
  // The passive stops; the window fills.
  rig.stall_copier = true;
  for (int i = 0; i < 800; ++i) rig.database.Commit(20);
  rig.database.Sync();
  EXPECT_FALSE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.source->status().mode, ShipMode::kFile);
  EXPECT_GT(rig.source->status().in_flight_bytes, 0u);
  rig.stall_copier = false;
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.source->status().mode, ShipMode::kBlock);
  rig.ExpectEqualLogs();
}

TEST(Copying, NeverExceedsTheWindow) {
  Rig rig({.pages = 2000, .window_bytes = kWindowBytesMin});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.stall_copier = true;
  for (int i = 0; i < 100; ++i) rig.database.Commit(200);
  rig.database.Sync();
  EXPECT_FALSE(rig.RunUntilCaughtUp());
  EXPECT_LE(rig.copier->status().queued_bytes, kWindowBytesMin);
  EXPECT_GT(rig.copier->status().queued_bytes, kWindowBytesMin / 2);
  rig.stall_copier = false;
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_LE(rig.in_flight_max, kWindowBytesMin);
  EXPECT_EQ(rig.copier->status().counters.rejected_window, 0u);
}

TEST(Copying, RecordsLargerThanThePartTargetArriveInParts) {
  Rig rig({.page_size = 4096, .pages = 600});
  rig.Connect();
  for (int i = 0; i < 5; ++i) rig.database.Commit(2000);
  rig.database.Sync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  EXPECT_GT(rig.copier->status().counters.parts, 5u);
}

TEST(Copying, ResumesAfterACutAtEveryMessage) {
  uint64_t cuts = 0;
  for (uint64_t at = 1;; ++at) {
    Rig rig({.seed = at, .page_size = 4096, .pages = 100});
    for (int i = 0; i < 6; ++i) rig.database.Commit(300);
    rig.database.Sync();
    const uint64_t log_bytes = rig.database.log().bytes();
    rig.Connect();
    rig.link->CutAfter(at);
    const bool caught_up = rig.RunUntilCaughtUp();
    if (!caught_up) {
      ASSERT_TRUE(rig.link->closed());
      ++cuts;
      rig.Disconnect("cut by the test");
      EXPECT_TRUE(rig.copier->status().state == CopyState::kDisconnectedAndHealthy ||
                  rig.copier->status().state == CopyState::kDisconnectedAndResynchronizing);
      rig.database.CommitAndSync();
      rig.Connect();
      ASSERT_TRUE(rig.RunUntilCaughtUp()) << at;
    }
    rig.ExpectEqualLogs();
    // Nothing comes twice but what was not acknowledged.
    EXPECT_LE(rig.part_bytes_to_copier, log_bytes + kWindowBytesMin + 8192);
    EXPECT_EQ(rig.copier->status().counters.rejected, 0u);
    EXPECT_EQ(rig.copier->status().state, CopyState::kHealthy);
    if (caught_up) break;
  }
  EXPECT_GT(cuts, 5u);
}

TEST(Copying, ResumesAtTheExactPartOfARecord) {
  Rig rig({.page_size = 4096, .pages = 3000});
  rig.database.Commit(20000);  // many parts
  rig.database.Sync();
  rig.Connect();
  // Until a few parts are durable on the passive.
  ASSERT_TRUE(rig.RunUntil([&] {
    const auto incomplete = rig.passive_log->incomplete();
    return incomplete && incomplete->parts >= 3;
  }));
  const uint32_t held = rig.passive_log->incomplete()->parts;
  rig.Disconnect("cut by the test");
  const uint64_t parts_before = rig.copier->status().counters.parts;
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  const uint64_t all = rig.AllParts(rig.database.log(), base::Seq(1)).size();
  EXPECT_EQ(rig.copier->status().counters.parts - parts_before, all - held);
  EXPECT_EQ(rig.copier->status().counters.restarted_records, 0u);
}

TEST(Copying, BeginsARecordAnewWhenTheSourceDid) {
  Rig rig({.page_size = 4096, .pages = 600});
  rig.Connect();
  rig.database.BeginAndDrop(500);  // parts are in the log, the record is not
  ASSERT_TRUE(rig.RunUntil([&] { return rig.passive_log->incomplete().has_value(); }));
  rig.database.DropIncomplete();
  rig.database.CommitAndSync(500);
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  EXPECT_EQ(rig.copier->status().counters.restarted_records, 1u);
  EXPECT_EQ(rig.copier->status().counters.rejected, 0u);
}

TEST(Copying, BeginsARecordAnewAfterAReconnectWhenThePartsDiffer) {
  Rig rig({.page_size = 4096, .pages = 600});
  rig.Connect();
  rig.database.BeginAndDrop(500);
  ASSERT_TRUE(rig.RunUntil([&] { return rig.passive_log->incomplete().has_value(); }));
  rig.Disconnect("cut by the test");
  rig.database.DropIncomplete();
  rig.database.CommitAndSync(500);
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
}

TEST(Copying, GoesOnIntoANewTerm) {
  Rig rig({});
  rig.Connect();
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.Disconnect("the active mounts anew");
  rig.database.Mount(base::Term(2));
  rig.database.CommitAndSync();
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  EXPECT_EQ(rig.copier->status().durable.term, base::Term(2));
}

// A copy that was away while the active was mounted anew learns of the new term from the group
// before it has the old term's last records: they are history, not the work of a fenced server.
TEST(Copying, TakesTheOldTermsRecordsFromTheNewTermsSource) {
  Rig rig({});
  rig.Connect();
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.Disconnect("the active mounts anew");
  rig.database.CommitAndSync();
  rig.database.Mount(base::Term(2));
  rig.database.CommitAndSync();
  rig.copier->SetTermKnown(base::Term(2));
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  EXPECT_EQ(rig.copier->status().counters.rejected, 0u);
}

// The source of a new connection knows nothing of this copy; with an idle database nothing else
// would ever tell it.
TEST(Copying, AcknowledgesAfterAReconnectThoughNothingIsNew) {
  Rig rig({});
  rig.Connect();
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  const base::Position end = rig.copier->status().durable;
  rig.copier->SetReplayed(end);
  rig.Disconnect("cut by the test");
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.source->status().replayed == end; }));
  EXPECT_EQ(rig.source->status().durable, end);
}

TEST(Copying, HoldsOnTheActiveFollowWhatIsDurableOnThePassive) {
  Rig rig({});
  rig.Connect();
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  const auto holds = rig.database.log().holds();
  ASSERT_EQ(holds.size(), 1u);
  EXPECT_EQ(holds[0].name, "passive s3");
  EXPECT_EQ(holds[0].seq, rig.passive_log->durable().seq);
  // The hold outlives the connection.
  rig.Disconnect("cut");
  EXPECT_EQ(rig.database.log().holds().size(), 1u);
}

TEST(Copying, SurvivesCrashesAndPowerCutsOfThePassive) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rig rig({.seed = seed, .page_size = 4096, .pages = 100});
    for (int round = 0; round < 6; ++round) {
      for (int i = 0; i < 5; ++i) rig.database.Commit(50);
      rig.database.Sync();
      rig.Connect();
      rig.link->CutAfter(3 + rig.random() % 12);
      rig.RunUntilCaughtUp();
      const base::Position durable = rig.passive_log->durable();
      rig.CrashPassive(seed % 2 == 0);
      ASSERT_GE(rig.passive_log->durable(), durable);
    }
    rig.Connect();
    ASSERT_TRUE(rig.RunUntilCaughtUp());
    rig.ExpectEqualLogs();
  }
}

TEST(Copying, SaysWhenASeedIsNeeded) {
  Rig rig({.start_log = false});
  rig.Connect();
  rig.RunUntil([&] { return rig.copier->status().state == CopyState::kFailed; });
  EXPECT_EQ(rig.copier->failure().code(), base::Code::kLogGap);

  Rig late({.pages = 400});
  for (int i = 0; i < 300; ++i) late.database.Commit(50);
  late.database.Sync();
  ASSERT_TRUE(late.database.log().Truncate(late.database.captured()).ok());
  late.Connect();
  late.RunUntil([&] { return late.copier->status().state == CopyState::kFailed; });
  EXPECT_EQ(late.copier->failure().code(), base::Code::kLogGap)
      << late.copier->failure().ToString();
  EXPECT_TRUE(late.database.log().holds().empty());
}

TEST(Copying, RefusesADivergedCopy) {
  Rig rig({});
  Rig other({.seed = 9});
  rig.Connect();
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.Disconnect("failover");
  // The new active has another commit 2.
  other.database.CommitAndSync();
  other.Connect();
  LogSource source({.database = TestDatabaseId(),
                    .database_name = "orders",
                    .peer = "s3",
                    .term = base::Term(1)},
                   other.database.log(), other.link->source_end());
  Subscribe subscribe;
  subscribe.database = TestDatabaseId();
  subscribe.request = 1;
  subscribe.have = rig.passive_log->end();
  subscribe.window_bytes = kWindowBytesDefault;
  source.OnMessage(subscribe, other.clock.Now());
  EXPECT_EQ(source.status().state, LogSource::State::kRefused);
  EXPECT_EQ(source.status().last_refusal.code(), base::Code::kDiverged);
  // A copy that is ahead.
  subscribe.have.position.seq.value += 100;
  source.OnMessage(subscribe, other.clock.Now());
  EXPECT_EQ(source.status().last_refusal.code(), base::Code::kDiverged);
}

TEST(Copying, AHigherTermFencesTheSource) {
  Rig rig({});
  rig.copier->SetTermKnown(base::Term(7));
  rig.Connect();
  rig.RunUntil([&] { return rig.copier->status().state == CopyState::kFailed; });
  EXPECT_EQ(rig.copier->failure().code(), base::Code::kFenced);
  EXPECT_EQ(rig.source->fenced_by(), base::Term(7));
}

TEST(Copying, SuspendStopsAndResumeGoesOn) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.copier->Suspend("maintenance", rig.clock.Now());
  rig.database.CommitAndSync();
  EXPECT_FALSE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.copier->status().state, CopyState::kSuspended);
  EXPECT_EQ(rig.source->status().state, LogSource::State::kIdle);
  rig.copier->Resume(rig.clock.Now());
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.copier->status().state, CopyState::kHealthy);
}

TEST(Copying, TellsTheSourceWhatIsReplayed) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.copier->SetReplayed(rig.passive_log->durable());
  ASSERT_TRUE(
      rig.RunUntil([&] { return rig.source->status().replayed == rig.passive_log->durable(); }));
}

}  // namespace
}  // namespace understudy::ship
