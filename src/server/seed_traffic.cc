// SPDX-License-Identifier: Apache-2.0
#include "server/seed_traffic.h"

#include <fmt/format.h>

namespace understudy::server {

bool SeedSlots::Enter(const std::string& database, const std::string& peer, uint32_t slots,
                      base::SteadyTime now, std::string& why) {
  base::MutexLock lock(mutex_);
  std::erase_if(entries_, [&](const Entry& entry) {
    return !entry.seed.running && now - entry.asked > kForgottenAfter;
  });
  const auto find = [&] {
    return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.seed.Name() == std::pair(database, peer);
    });
  };
  if (find() == entries_.end()) entries_.push_back({{database, peer, false}, now});
  const auto mine = find();
  mine->asked = now;
  if (mine->seed.running) return true;
  const auto running = std::count_if(entries_.begin(), entries_.end(),
                                     [](const Entry& entry) { return entry.seed.running; });
  const auto before =
      std::count_if(entries_.begin(), mine, [](const Entry& entry) { return !entry.seed.running; });
  if (running + before < static_cast<ptrdiff_t>(slots)) {
    mine->seed.running = true;
    return true;
  }
  why = fmt::format("{} seeds at once are under way (seed.parallel is {}), {} wait before this one",
                    running, slots, before);
  return false;
}

void SeedSlots::Leave(const std::string& database, const std::string& peer) {
  base::MutexLock lock(mutex_);
  std::erase_if(entries_,
                [&](const Entry& entry) { return entry.seed.Name() == std::pair(database, peer); });
}

std::vector<SeedSlots::Seed> SeedSlots::seeds() const {
  base::MutexLock lock(mutex_);
  std::vector<Seed> seeds;
  for (const Entry& entry : entries_) seeds.push_back(entry.seed);
  return seeds;
}

}  // namespace understudy::server
