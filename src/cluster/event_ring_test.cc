// SPDX-License-Identifier: Apache-2.0
// The ring keeps the newest events through restarts and power cuts, and reads no damaged one.
#include "cluster/event_ring.h"

#include <gtest/gtest.h>

#include "testing/mem_env.h"

namespace understudy::cluster {
namespace {

constexpr char kPath[] = "/data/.events";

std::string EventText(int i) { return "{\"event\":" + std::to_string(i) + "}"; }

class EventRingTest : public testing::Test {
 protected:
  EventRingTest() { EXPECT_TRUE(env_.MakeDirectories("/data").ok()); }

  std::unique_ptr<EventRing> Open(uint64_t bytes_max = EventRing::kFileBytesMax) {
    auto ring = EventRing::Open(env_, kPath, bytes_max);
    EXPECT_TRUE(ring.ok()) << ring.status().ToString();
    return ring.ok() ? std::move(*ring) : nullptr;
  }
  static std::vector<std::string> Read(const EventRing& ring) {
    auto payloads = ring.Read();
    EXPECT_TRUE(payloads.ok()) << payloads.status().ToString();
    return payloads.ok() ? *payloads : std::vector<std::string>{};
  }

  test::MemEnv env_;
};

TEST_F(EventRingTest, WhatWasAppendedSurvivesAPowerCut) {
  ASSERT_TRUE(Open()->Append({EventText(1), EventText(2)}).ok());
  ASSERT_TRUE(Open()->Append({EventText(3)}).ok());
  env_.PowerCutDropAll();
  EXPECT_EQ(Read(*Open()), (std::vector<std::string>{EventText(1), EventText(2), EventText(3)}));
}

TEST_F(EventRingTest, TheOldestGoAndTheFilesStaySmall) {
  constexpr uint64_t kBytesMax = 300;
  auto ring = Open(kBytesMax);
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(ring->Append({EventText(i)}).ok());
    for (const char* path : {kPath, "/data/.events.1"}) {
      const auto stat = env_.Stat(path);
      EXPECT_TRUE(!stat.ok() || stat->size <= kBytesMax) << path;
    }
  }
  const std::vector<std::string> kept = Read(*ring);
  ASSERT_GE(kept.size(), 10U);
  const int first = 500 - static_cast<int>(kept.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(kept[i], EventText(first + static_cast<int>(i)));
  }
}

TEST_F(EventRingTest, APowerCutAfterAnAppendLosesNothing) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    auto ring = Open(100);
    ASSERT_TRUE(ring->Append({EventText(static_cast<int>(seed))}).ok());
    env_.PowerCut(seed);
    const std::vector<std::string> kept = Read(*Open(100));
    ASSERT_FALSE(kept.empty());
    EXPECT_EQ(kept.back(), EventText(static_cast<int>(seed)));
  }
}

TEST_F(EventRingTest, ATornTailIsCutAndTheRingGoesOn) {
  ASSERT_TRUE(Open()->Append({EventText(1), EventText(2)}).ok());
  const uint64_t whole = env_.Stat(kPath)->size;
  for (uint64_t size = whole / 2; size < whole; ++size) {
    ASSERT_TRUE((*env_.Open(kPath, env::OpenMode::kReadWrite))->Truncate(size).ok());
    auto ring = Open();
    EXPECT_EQ(Read(*ring), std::vector<std::string>{EventText(1)});
    ASSERT_TRUE(ring->Append({EventText(2)}).ok());
    EXPECT_EQ(Read(*ring), (std::vector<std::string>{EventText(1), EventText(2)}));
  }
}

TEST_F(EventRingTest, NoFlippedBitIsReadAsAnEvent) {
  ASSERT_TRUE(Open()->Append({EventText(1), EventText(2), EventText(3)}).ok());
  const base::Bytes good = *env::ReadFile(env_, kPath, 1 << 20);
  for (size_t at = 0; at < good.size() * 8; ++at) {
    base::Bytes bad = good;
    bad[at / 8] ^= static_cast<uint8_t>(1U << (at % 8));
    const std::vector<std::string> read = ParseRing(bad).payloads;
    ASSERT_EQ(read.size(), at / 8 / (good.size() / 3));
    for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], EventText(static_cast<int>(i) + 1));
  }
}

TEST_F(EventRingTest, AnEventThatDoesNotFitIsRefusedAndTheNextIsKept) {
  auto ring = Open();
  EXPECT_EQ(ring->Append({std::string(EventRing::kPayloadBytesMax + 1, 'x')}).code(),
            base::Code::kInvalidArgument);
  EXPECT_EQ(ring->Append({""}).code(), base::Code::kInvalidArgument);
  ASSERT_TRUE(ring->Append({EventText(1)}).ok());
  EXPECT_EQ(Read(*ring), std::vector<std::string>{EventText(1)});
}

}  // namespace
}  // namespace understudy::cluster
