// SPDX-License-Identifier: Apache-2.0
// Fail the Nth: one server of a group goes through its whole day, and the 1st, 2nd, … operation on
// its files, call of the coordinator or call of another server fails, until a day has no failure.
// What was promised holds each time. `make test` takes every so many-th; SIM_STRIDE=1 takes all.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "tests/sim/sim_group.h"

namespace understudy::sim {
namespace {

using Nth = SimGroup::Nth;

// Capture, log, shipping and replay all the time; a full and an incremental backup; a switchover
// there and back and a resync. The failure comes anywhere in it.
void Day(SimGroup& group, size_t server, Nth kind, uint64_t nth) {
  group.FailNth(server, kind, nth);
  group.Sleep(std::chrono::milliseconds(300));
  group.BackUp(server, "orders", false);
  group.Sleep(std::chrono::milliseconds(500));
  group.Switchover("orders", server, 2).IgnoreError();
  group.BackUp(server, "orders", true);
  group.Reseed(1, "orders");
  group.Sleep(std::chrono::milliseconds(500));
  group.Switchover("orders", 2, 0).IgnoreError();
  group.Sleep(std::chrono::milliseconds(300));
}

bool RunDay(size_t server, Nth kind, uint64_t nth) {
  bool failed = false;
  SimOptions options{.seed = 11, .databases = {"orders"}};
  options.script = [&](SimGroup& group) {
    Day(group, server, kind, nth);
    failed = group.HasFailedNth(server, kind);
  };
  const SimResult result = SimGroup(options).Run();
  for (const std::string& violation : result.violations)
    ADD_FAILURE() << "server " << server << ", the " << nth << "th fails: " << violation;
  return failed;
}

void Sweep(size_t server, Nth kind, uint64_t stride) {
  const char* const wanted = std::getenv("SIM_STRIDE");
  if (wanted != nullptr) stride = std::strtoull(wanted, nullptr, 10);
  const std::clock_t begin = std::clock();
  uint64_t nth = 1;
  uint64_t days = 0;
  while (RunDay(server, kind, nth) && !::testing::Test::HasFailure()) {
    nth += stride;
    ++days;
  }
  fmt::print("{} days with a failure, of about {} there can be, {:.1f} s\n", days, nth,
             static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  EXPECT_GT(days, 3U);
}

TEST(FailTheNth, FileOperationOfTheActiveCopysServer) { Sweep(0, Nth::kFiles, 23); }
TEST(FailTheNth, FileOperationOfAPassiveCopysServer) { Sweep(1, Nth::kFiles, 23); }
TEST(FailTheNth, CoordinatorCallOfTheActiveCopysServer) { Sweep(0, Nth::kCoordinator, 7); }
TEST(FailTheNth, CoordinatorCallOfAPassiveCopysServer) { Sweep(1, Nth::kCoordinator, 7); }
TEST(FailTheNth, CallOfTheActiveCopysServer) { Sweep(0, Nth::kCalls, 1); }

}  // namespace
}  // namespace understudy::sim
