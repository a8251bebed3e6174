// SPDX-License-Identifier: Apache-2.0
// A group under faults that follow from a seed. SIM_SEED=n runs one seed with diagnostics.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/sim/sim_group.h"

namespace understudy::sim {
namespace {

void RunSeed(SimOptions options) {
  const SimResult result = SimGroup(options).Run();
  fmt::print("seed {}: {} faults, {} acknowledged, {:.0f} s simulated in {} turns\n", options.seed,
             result.faults, result.acknowledged,
             std::chrono::duration<double>(result.simulated).count(), result.turns);
  for (const std::string& violation : result.violations) {
    ADD_FAILURE() << "seed " << options.seed << ": " << violation;
  }
}

TEST(SimulatedGroup, WithoutFaultsEverythingIsThere) { RunSeed({.seed = 1, .faults = 0}); }

TEST(SimulatedGroup, SameSeedSameRun) {
  const SimResult first = SimGroup({.seed = 7, .faults = 5}).Run();
  const SimResult second = SimGroup({.seed = 7, .faults = 5}).Run();
  EXPECT_EQ(first.turns, second.turns);
  EXPECT_EQ(first.acknowledged, second.acknowledged);
  EXPECT_EQ(first.simulated, second.simulated);
}

TEST(SimulatedGroup, PromisesHoldUnderFaults) {
  if (const char* one = std::getenv("SIM_SEED"); one != nullptr) {
    return RunSeed({.seed = std::strtoull(one, nullptr, 10), .verbose = true});
  }
  for (uint64_t seed = 1; seed <= 10; ++seed) RunSeed({.seed = seed});
}

}  // namespace
}  // namespace understudy::sim
