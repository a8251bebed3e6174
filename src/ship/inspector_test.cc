// SPDX-License-Identifier: Apache-2.0
// What comes over the network may be anything: it is rejected, asked for again, and copying goes
// on.
#include "ship/inspector.h"

#include "base/crc32c.h"
#include "ship/seed_test_rig.h"

namespace understudy::ship {
namespace {

// Tampers with the first Parts message that has parts, once; then copying must recover.
void RejectsOnceAndRecovers(const std::function<void(Parts&)>& tamper,
                            const std::function<uint64_t(const LogCopier::Counters&)>& counter) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  bool done = false;
  rig.tamper_to_copier = [&](Message& message) {
    auto* parts = std::get_if<Parts>(&message);
    if (parts != nullptr && !parts->parts.empty() && !done) {
      done = true;
      tamper(*parts);
    }
    return true;
  };
  for (int i = 0; i < 5; ++i) rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.ExpectEqualLogs();
  EXPECT_EQ(rig.copier->status().state, CopyState::kHealthy);
  EXPECT_EQ(rig.copier->status().counters.rejected, 1u);
  EXPECT_EQ(counter(rig.copier->status().counters), 1u);
}

TEST(Inspecting, RejectsFlippedBytes) {
  RejectsOnceAndRecovers([](Parts& parts) { parts.parts[0][parts.parts[0].size() / 2] ^= 1; },
                         [](const auto& c) { return c.rejected_malformed; });
  RejectsOnceAndRecovers([](Parts& parts) { parts.parts[0].resize(parts.parts[0].size() / 2); },
                         [](const auto& c) { return c.rejected_malformed; });
}

TEST(Inspecting, RejectsAMissingRecord) {
  RejectsOnceAndRecovers([](Parts& parts) { parts.parts.erase(parts.parts.begin()); },
                         [](const auto& c) { return c.rejected_sequence; });
}

TEST(Inspecting, RejectsARecordThatIsThereAlready) {
  RejectsOnceAndRecovers(
      [](Parts& parts) { parts.parts.insert(parts.parts.begin(), parts.parts.front()); },
      [](const auto& c) { return c.rejected_sequence; });
}

// A part of a database that the copier does not have.
base::Bytes ForeignPart(bool other_content, base::Term term) {
  Rig rig({.seed = other_content ? 77u : 1u});
  if (term.value > 1) rig.database.Mount(term);
  rig.database.CommitAndSync();
  return Rig::AllParts(rig.database.log(), base::Seq(term.value > 1 ? 2 : 1))[0].second;
}

TEST(Inspecting, RejectsARecordThatFollowsAnotherState) {
  const base::Bytes foreign = ForeignPart(true, base::Term(1));
  RejectsOnceAndRecovers([&](Parts& parts) { parts.parts[0] = foreign; },
                         [](const auto& c) { return c.rejected_checksum; });
}

TEST(Inspecting, RejectsATermThatBeginsWithoutAMount) {
  const base::Bytes foreign = ForeignPart(false, base::Term(2));
  RejectsOnceAndRecovers([&](Parts& parts) { parts.parts[0] = foreign; },
                         [](const auto& c) { return c.rejected_term; });
}

TEST(Inspecting, RejectsATermBelowTheHighestKnown) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.copier->SetTermKnown(base::Term(5));
  rig.database.CommitAndSync();
  rig.RunUntil([&] { return rig.copier->status().state == CopyState::kFailed; });
  EXPECT_EQ(rig.copier->status().counters.rejected_term, 1u);
  EXPECT_EQ(rig.copier->failure().code(), base::Code::kFenced);
  EXPECT_EQ(rig.passive_log->durable().seq, base::Seq(1));
}

TEST(Inspecting, RejectsAnotherDatabaseAndALowerGeneration) {
  Rig rig({});
  rig.database.CommitAndSync();
  const base::Bytes part = Rig::AllParts(rig.database.log(), base::Seq(1))[0].second;
  InspectionPoint point{TestDatabaseId(), base::Term(1), base::Term(1), rig.passive_log->chain()};
  EXPECT_FALSE(Inspect(point, base::Generation(1), part).rejection);
  point.database.bytes[0] ^= 1;
  EXPECT_EQ(Inspect(point, base::Generation(1), part).rejection, Rejection::kDatabase);
  point.database = TestDatabaseId();
  log::LogEnd later = point.chain.end();
  later.generation = base::Generation(2);
  point.chain = log::RecordChain(later, std::nullopt);
  EXPECT_EQ(Inspect(point, base::Generation(1), part).rejection, Rejection::kSequence);
}

TEST(Inspecting, NoFlippedBitPasses) {
  Rig rig({});
  rig.database.CommitAndSync();
  base::Bytes part = Rig::AllParts(rig.database.log(), base::Seq(1))[0].second;
  const InspectionPoint point{TestDatabaseId(), base::Term(1), base::Term(1),
                              rig.passive_log->chain()};
  for (size_t i = 0; i < part.size(); ++i) {
    part[i] ^= 0x10;
    EXPECT_TRUE(Inspect(point, base::Generation(1), part).rejection) << i;
    part[i] ^= 0x10;
  }
}

TEST(Inspecting, FailsWithTheReasonAfterBoundedAttemptsAndIsRechecked) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  bool broken = true;
  rig.tamper_to_copier = [&](Message& message) {
    auto* parts = std::get_if<Parts>(&message);
    if (broken && parts != nullptr && !parts->parts.empty()) parts->parts[0].back() ^= 1;
    return true;
  };
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntil([&] { return rig.copier->status().state == CopyState::kFailed; }));
  EXPECT_EQ(rig.copier->status().counters.rejected, uint64_t{LogCopier::kAttemptsMax} + 1);
  EXPECT_NE(rig.copier->failure().message().find("orders"), std::string::npos);
  EXPECT_NE(rig.copier->failure().message().find("s1"), std::string::npos);
  broken = false;
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  EXPECT_EQ(rig.copier->status().state, CopyState::kHealthy);
}

TEST(Inspecting, MoreThanTheWindowIsNotKept) {
  Rig rig({});
  rig.Connect();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
  rig.stall_copier = true;
  Parts parts;
  parts.database = TestDatabaseId();
  parts.request = 1;
  parts.parts.assign(1, base::Bytes(512 << 10));
  for (int i = 0; i < 20; ++i) {
    rig.copier->OnMessage(Parts(parts), rig.clock.Now());
    ASSERT_LE(rig.copier->status().queued_bytes, kWindowBytesMin);
  }
  EXPECT_EQ(rig.copier->status().counters.rejected_window, 1u);
  rig.stall_copier = false;
  rig.database.CommitAndSync();
  ASSERT_TRUE(rig.RunUntilCaughtUp());
}

uint64_t Odd(std::mt19937_64& random) {
  switch (random() % 5) {
    case 0: return 0;
    case 1: return random() % 4;
    case 2: return ~uint64_t{0} - random() % 3;
    case 3: return random() % (8 << 20);
    default: return random();
  }
}

log::LogEnd OddEnd(std::mt19937_64& random) {
  log::LogEnd end;
  end.position = {base::Term(Odd(random)), base::Seq(Odd(random))};
  end.generation.value = Odd(random);
  end.page_size = random() % 2 == 0 ? 1024 : static_cast<uint32_t>(Odd(random));
  end.pages = static_cast<uint32_t>(Odd(random));
  end.checksum = random();
  return end;
}

base::Bytes OddBytes(std::mt19937_64& random) {
  base::Bytes bytes(random() % 300);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

base::Bytes SomeBit(std::mt19937_64& random) {
  return random() % 2 == 0 ? base::Bytes() : base::Bytes{static_cast<uint8_t>(random())};
}

Message OddMessage(std::mt19937_64& random) {
  const base::DatabaseId id = TestDatabaseId();
  const uint64_t request = random() % 4;
  const base::Position position{base::Term(Odd(random)), base::Seq(Odd(random))};
  const auto n32 = [&] { return static_cast<uint32_t>(Odd(random)); };
  switch (random() % 12) {
    case 0:
      return Subscribe{id,    request, random(),   base::Term(random() % 3), OddEnd(random),
                       n32(), n32(),   Odd(random)};
    case 1: return Unsubscribe{id};
    case 2: return Ack{id, request, position, position, position, Odd(random)};
    case 3: {
      Parts parts{id,
                  request,
                  base::Generation(Odd(random)),
                  ShipMode::kBlock,
                  {},
                  base::Term(random() % 3),
                  position,
                  {}};
      for (uint64_t i = random() % 4; i > 0; --i) parts.parts.push_back(OddBytes(random));
      return parts;
    }
    case 4:
      return Refused{id,    random() % 2 == 0, request, static_cast<base::Code>(1 + random() % 13),
                     "odd", base::Term(0)};
    case 5: {
      SeedRequest asked{
          id,   request, random(), base::Term(random() % 3), Odd(random),        n32(),
          1024, n32(),   4,        OddEnd(random),           kWindowBytesDefault};
      asked.base_page_size = random() % 2 == 0 ? 1024 : 0;
      return asked;
    }
    case 6: return SeedStart{id, request, Odd(random), 1024, n32(), n32() % 8, OddEnd(random)};
    case 7:
      return SeedChunk{id,        request,  Odd(random),     n32() % 8,        base::PageNo(n32()),
                       n32() % 8, position, SomeBit(random), OddBytes(random), Odd(random)};
    case 8: return SeedAck{id, request, Odd(random), n32(), Odd(random)};
    case 9: return SeedEnd{id, request, Odd(random), OddEnd(random)};
    case 10: return SeedHashes{id, request, Odd(random), n32() % 8, {random(), random()}};
    default: return Heartbeat{1, {{id, position, {}}}};
  }
}

TEST(Inspecting, NoMessageCrashesAnyoneOrEntersTheLog) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Rig::Options options{.seed = seed, .start_log = seed % 3 != 0, .with_seed = seed % 3 == 0};
    const auto base = std::make_shared<BaseInMemory::Content>(1024u, base::Bytes(40 << 10));
    if (seed % 6 == 0) options.base = [base] { return std::make_unique<BaseInMemory>(base); };
    Rig rig(options);
    rig.Connect();
    rig.database.CommitAndSync();
    std::mt19937_64 random(seed);
    for (int i = 0; i < 400; ++i) {
      Message message = OddMessage(random);
      Message copy = message;
      rig.source->OnMessage(Message(message), rig.clock.Now());
      rig.seed_source->OnMessage(Message(message), rig.clock.Now());
      rig.copier->OnMessage(std::move(message), rig.clock.Now());
      if (rig.seed_target) rig.seed_target->OnMessage(std::move(copy), rig.clock.Now());
      if (i % 3 == 0) {
        rig.Turn();
        rig.clock.Advance(std::chrono::milliseconds(1));
      }
      ASSERT_LE(rig.copier->status().queued_bytes, kWindowBytesMin);
    }
    ASSERT_LE(rig.passive_log->durable().seq, rig.database.captured());
  }
}

}  // namespace
}  // namespace understudy::ship
