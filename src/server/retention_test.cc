// SPDX-License-Identifier: Apache-2.0
#include "server/retention.h"

#include <gtest/gtest.h>

namespace understudy::server {
namespace {

std::vector<log::GenerationInfo> Generations(const std::vector<uint64_t>& bytes) {
  std::vector<log::GenerationInfo> generations;
  for (size_t i = 0; i < bytes.size(); ++i) {
    log::GenerationInfo info;
    info.number = base::Generation(i + 1);
    info.seq_first = base::Seq(i * 10 + 1);
    info.bytes = bytes[i];
    generations.push_back(info);
  }
  return generations;
}

TEST(Retention, NothingGoesWhileTheLogIsSmall) {
  EXPECT_EQ(TruncatableUpTo(Generations({}), 100), base::Seq(0));
  EXPECT_EQ(TruncatableUpTo(Generations({30, 30, 30}), 100), base::Seq(0));
}

TEST(Retention, TheNewestGenerationsWithTheKeptBytesStay) {
  EXPECT_EQ(TruncatableUpTo(Generations({50, 50, 50, 50}), 100), base::Seq(20));
  EXPECT_EQ(TruncatableUpTo(Generations({50, 50, 50, 50}), 101), base::Seq(10));
}

TEST(Retention, TheNewestGenerationAlwaysStays) {
  EXPECT_EQ(TruncatableUpTo(Generations({50, 500}), 100), base::Seq(10));
}

}  // namespace
}  // namespace understudy::server
