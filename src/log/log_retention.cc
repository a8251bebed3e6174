// SPDX-License-Identifier: Apache-2.0
// Holds, and removing old generations.
#include <algorithm>

#include "base/planted.h"
#include "log/log_store_state.h"

namespace understudy::log {

using base::MutexLock;
using base::Result;

void LogStore::SetHold(const Hold& hold) {
  MutexLock lock(state_->mutex);
  state_->holds[hold.name] = hold;
}

void LogStore::ReleaseHold(const std::string& name) {
  MutexLock lock(state_->mutex);
  state_->holds.erase(name);
}

std::vector<Hold> LogStore::holds() const {
  MutexLock lock(state_->mutex);
  std::vector<Hold> out;
  for (const auto& [name, hold] : state_->holds) out.push_back(hold);
  return out;
}

// Oldest first, so that a crash or failure in between leaves a log without a hole.
Result<uint64_t> LogStore::Truncate(base::Seq up_to) {
  State& s = *state_;
  std::vector<GenerationEntry> removed;
  {
    MutexLock lock(s.mutex);
    if (PLANTED("holds-ignored")) s.holds.clear();
    for (const auto& [name, hold] : s.holds) up_to = std::min(up_to, hold.seq);
    up_to = std::min(up_to, s.durable.seq);
    // All records that have parts in a file are <= the next file's seq_before.
    while (s.index.size() > 1 && s.index[1].seq_before <= up_to) {
      removed.push_back(s.index.front());
      s.index.pop_front();
    }
  }
  uint64_t freed = 0;
  for (const GenerationEntry& entry : removed) {
    RETURN_IF_ERROR(s.env.Remove(s.PathOf(entry.number)));
    freed += entry.bytes;
  }
  return freed;
}

}  // namespace understudy::log
