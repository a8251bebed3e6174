// SPDX-License-Identifier: Apache-2.0
// Reconnecting, heartbeats, the transition table of copy states, the checks of messages, and the
// seed's journal.
#include "ship/channel_watch.h"
#include "ship/copy_state.h"
#include "ship/reconnect.h"
#include "ship/seed_journal.h"
#include "ship/ship_test_rig.h"

namespace understudy::ship {
namespace {

TEST(ReconnectPolicy, BacksOffWithJitterAndSaysWhy) {
  test::MemEnv env{{}};
  ReconnectPolicy policy(env, {.peer = "s1"});
  base::SteadyTime now = env.Now();
  EXPECT_TRUE(policy.Due(now));
  policy.OnConnected(now);
  EXPECT_FALSE(policy.Due(now));
  base::Duration longest{};
  for (int i = 0; i < 20; ++i) {
    const auto& event = policy.OnLost("no message for 10 s", now);
    EXPECT_EQ(event.number, 2153);
    EXPECT_NE(event.text.find("s1"), std::string::npos);
    EXPECT_NE(event.text.find("no message for 10 s"), std::string::npos);
    EXPECT_FALSE(policy.Due(now));
    const base::Duration wait = policy.next_attempt() - now;
    EXPECT_LE(wait, std::chrono::seconds(15));
    longest = std::max(longest, wait);
    now = policy.next_attempt();
    EXPECT_TRUE(policy.Due(now));
  }
  EXPECT_GE(longest, std::chrono::milliseconds(7500));
  // A connection that lived for a while starts over.
  policy.OnConnected(now);
  now += std::chrono::seconds(11);
  policy.OnLost("reset by peer", now);
  EXPECT_LE(policy.next_attempt() - now, std::chrono::milliseconds(100));
}

TEST(ChannelWatch, ClosesAHalfOpenConnection) {
  test::SimClock clock;
  test::SimNetwork network(clock, 1);
  auto link = network.Connect();
  ChannelWatch copier({}, link->copier_end(), clock.Now());
  ChannelWatch source({}, link->source_end(), clock.Now());
  const auto run = [&](base::Duration span) {
    const base::SteadyTime end = clock.Now() + span;
    while (clock.Now() < end && !link->closed()) {
      while (link->copier_end().Receive()) {
      }
      while (link->source_end().Receive()) {
      }
      copier.RunOnce(clock.Now());
      source.RunOnce(clock.Now());
      clock.Advance(std::chrono::milliseconds(50));
    }
  };
  run(std::chrono::minutes(5));  // idle, but alive
  ASSERT_FALSE(link->closed());
  EXPECT_GT(copier.heartbeats_sent(), 100u);
  link->SetLossy(false, true);
  const base::SteadyTime cut = clock.Now();
  run(std::chrono::minutes(5));
  ASSERT_TRUE(link->closed());
  EXPECT_LE(clock.Now() - cut, std::chrono::seconds(13));
  EXPECT_NE(copier.cause().find("no message for 10 s"), std::string::npos) << copier.cause();
  EXPECT_TRUE(source.cause().empty());
}

TEST(Copying, HeartbeatsKeepTheCopyQueueTrue) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.copier->status().state == CopyState::kHealthy; }));
  Heartbeat heartbeat;
  heartbeat.ends.push_back({TestDatabaseId(), {base::Term(1), base::Seq(42)}, {}});
  rig.copier->OnMessage(heartbeat, rig.clock.Now());
  EXPECT_EQ(rig.copier->status().copy_queue, 41u);
}

TEST(Copying, AnEndThatWasOvertakenOnTheWayDoesNotCount) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.copier->status().state == CopyState::kHealthy; }));
  for (const uint64_t end : {uint64_t{42}, uint64_t{30}}) {
    Heartbeat heartbeat;
    heartbeat.ends.push_back({TestDatabaseId(), {base::Term(1), base::Seq(end)}, {}});
    rig.copier->OnMessage(heartbeat, rig.clock.Now());
  }
  EXPECT_EQ(rig.copier->status().source_end.seq, base::Seq(42));
  EXPECT_EQ(rig.copier->status().copy_queue, 41u);
}

TEST(CopyState, EveryStateAndEventHasADecidedOutcome) {
  using S = CopyState;
  using E = CopyEvent;
  EXPECT_EQ(NextCopyState(S::kInitializing, E::kConnected), S::kResynchronizing);
  EXPECT_EQ(NextCopyState(S::kResynchronizing, E::kAccepted), S::kHealthy);
  EXPECT_EQ(NextCopyState(S::kHealthy, E::kDisconnected), S::kDisconnectedAndHealthy);
  EXPECT_EQ(NextCopyState(S::kDisconnectedAndHealthy, E::kConnected), S::kResynchronizing);
  EXPECT_EQ(NextCopyState(S::kResynchronizing, E::kDisconnected),
            S::kDisconnectedAndResynchronizing);
  EXPECT_EQ(NextCopyState(S::kHealthy, E::kRejected), S::kResynchronizing);
  EXPECT_EQ(NextCopyState(S::kFailed, E::kSuspend), S::kFailedAndSuspended);
  EXPECT_EQ(NextCopyState(S::kFailedAndSuspended, E::kResume), S::kInitializing);
  EXPECT_EQ(NextCopyState(S::kFailed, E::kAccepted), std::nullopt);
  EXPECT_EQ(NextCopyState(S::kSuspended, E::kGaveUp), std::nullopt);
  for (int state = 0; state <= static_cast<int>(S::kSuspended); ++state) {
    for (int event = 0; event <= static_cast<int>(E::kSeedEnd); ++event) {
      const auto next = NextCopyState(static_cast<S>(state), static_cast<E>(event));
      if (next) {
        EXPECT_NE(CopyStateName(*next), "?");
      }
    }
    // What the world may do at any time is decided in every state.
    for (const E event : {E::kDisconnected, E::kSuspend, E::kSeedBegin, E::kSeedEnd}) {
      EXPECT_TRUE(NextCopyState(static_cast<S>(state), event));
    }
  }
}

TEST(CheckMessage, RefusesWhatNoPeerSends) {
  Parts parts;
  parts.parts.assign(3, base::Bytes(log::kPartBytesMax));
  EXPECT_FALSE(CheckMessage(parts).ok());
  parts.parts.assign(1, base::Bytes(log::kPartBytesMax));
  EXPECT_TRUE(CheckMessage(parts).ok());
  parts.parts.assign(kPartsCountMax + 1, base::Bytes(1));
  EXPECT_FALSE(CheckMessage(parts).ok());
  Subscribe subscribe;
  subscribe.request = 1;
  EXPECT_FALSE(CheckMessage(subscribe).ok());
  subscribe.window_bytes = kWindowBytesDefault;
  EXPECT_TRUE(CheckMessage(subscribe).ok());
  SeedStart start;
  start.seed_id = 1;
  start.page_size = start.start.page_size = 4096;
  start.start.position.seq = base::Seq(1);
  EXPECT_FALSE(CheckMessage(start).ok());
  start.chunk_pages = 256;
  EXPECT_TRUE(CheckMessage(start).ok());
  start.chunk_pages = 257;
  EXPECT_FALSE(CheckMessage(start).ok());
  SeedChunk chunk;
  chunk.pages_zstd.resize(kSeedChunkZstdBytesMax + 1);
  chunk.page_count = 1;
  EXPECT_FALSE(CheckMessage(chunk).ok());
}

SeedLayout TestLayout() {
  SeedLayout layout;
  layout.database = TestDatabaseId();
  layout.seed_id = 7;
  layout.page_size = layout.start.page_size = 4096;
  layout.pages = layout.start.pages = 10;
  layout.chunk_pages = 4;
  layout.start.position = {base::Term(1), base::Seq(5)};
  return layout;
}

TEST(SeedJournal, ComesBackUpToTheFirstDamagedByte) {
  test::MemEnv env{{}};
  {
    auto journal = SeedJournal::Create(env, "/journal", TestLayout());
    ASSERT_TRUE(journal.ok()) << journal.status().ToString();
    const std::vector<base::Position> at = {{base::Term(1), base::Seq(6)},
                                            {base::Term(1), base::Seq(8)}};
    ASSERT_TRUE((*journal)->AppendChunks(at).ok());
    ASSERT_TRUE((*journal)->AppendChunks(std::span(at).last(1)).ok());
    log::LogEnd end;
    end.position = {base::Term(2), base::Seq(9)};
    ASSERT_TRUE((*journal)->AppendEnd(end).ok());
    ASSERT_TRUE((*journal)->AppendReady().ok());
  }
  env.DropUnsynced();
  const auto whole = SeedJournal::Load(env, "/journal");
  ASSERT_TRUE(whole.ok());
  EXPECT_TRUE((*whole)->state().ready);
  EXPECT_EQ((*whole)->state().chunk_at.size(), 3u);
  EXPECT_EQ((*whole)->state().end->position.seq, base::Seq(9));
  EXPECT_EQ((*whole)->state().layout.start, TestLayout().start);

  const base::Bytes content = *env::ReadFile(env, "/journal", 1 << 20);
  size_t chunks_before = 0;
  for (size_t i = 0; i < content.size(); ++i) {
    base::Bytes damaged = content;
    damaged[i] ^= 4;
    ASSERT_TRUE(env::WriteFileAtomically(env, "/damaged", damaged).ok());
    const auto loaded = SeedJournal::Load(env, "/damaged");
    if (!loaded.ok()) {
      EXPECT_EQ(loaded.status().code(), base::Code::kCorruption);
      continue;
    }
    EXPECT_FALSE((*loaded)->state().ready) << i;
    EXPECT_GE((*loaded)->state().chunk_at.size(), chunks_before) << i;
    chunks_before = (*loaded)->state().chunk_at.size();
  }
  for (size_t length = 0; length < content.size(); ++length) {
    const base::ByteView torn = base::ByteView(content).first(length);
    ASSERT_TRUE(env::WriteFileAtomically(env, "/torn", torn).ok());
    const auto loaded = SeedJournal::Load(env, "/torn");
    if (loaded.ok()) {
      EXPECT_FALSE((*loaded)->state().ready);
    }
  }
}

}  // namespace
}  // namespace understudy::ship
