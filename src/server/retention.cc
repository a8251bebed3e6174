// SPDX-License-Identifier: Apache-2.0
#include "server/retention.h"

#include <algorithm>

namespace understudy::server {
namespace {

uint64_t BytesOf(const std::vector<log::GenerationInfo>& generations) {
  uint64_t bytes = 0;
  for (const log::GenerationInfo& generation : generations) bytes += generation.bytes;
  return bytes;
}

// As far as the holds that are left, and what is wanted, let truncation go.
base::Seq Allowed(const std::vector<log::Hold>& holds, const RetentionPlan& plan) {
  base::Seq allowed(UINT64_MAX);
  for (const log::Hold& hold : holds) allowed = std::min(allowed, hold.seq);
  if (plan.retention) allowed = std::min(allowed, *plan.retention);
  if (plan.backup_base) allowed = std::min(allowed, *plan.backup_base);
  return allowed;
}

// Lets the copy go that is farthest behind, if more than `bytes_max` is kept for it and that frees
// something.
bool LetOneGo(const RetentionFacts& facts, uint64_t bytes_max, bool for_disk,
              std::vector<log::Hold>& holds, RetentionPlan& plan) {
  auto last = holds.end();
  for (auto at = holds.begin(); at != holds.end(); ++at) {
    if (!facts.stragglers.contains(at->name)) continue;
    if (last == holds.end() || at->seq < last->seq) last = at;
  }
  if (last == holds.end()) return false;
  const uint64_t removable = RemovableBytes(facts.generations, last->seq);
  const uint64_t kept = BytesOf(facts.generations) - removable;
  if (kept <= bytes_max) return false;
  std::vector<log::Hold> others = holds;
  others.erase(others.begin() + (last - holds.begin()));
  if (RemovableBytes(facts.generations, Allowed(others, plan)) <= removable) return false;
  plan.let_go.push_back({last->name, last->seq, kept, for_disk});
  holds = std::move(others);
  return true;
}

}  // namespace

base::Seq TruncatableUpTo(const std::vector<log::GenerationInfo>& generations,
                          uint64_t keep_bytes) {
  uint64_t kept = 0;
  for (auto newest = generations.rbegin(); newest != generations.rend(); ++newest) {
    kept += newest->bytes;
    if (kept < keep_bytes) continue;
    const uint64_t first = newest->seq_first.value;
    return base::Seq(first > 0 ? first - 1 : 0);
  }
  return base::Seq(0);
}

uint64_t RemovableBytes(const std::vector<log::GenerationInfo>& generations, base::Seq seq) {
  uint64_t bytes = 0;
  for (size_t i = 0; i + 1 < generations.size(); ++i) {
    const uint64_t next = generations[i + 1].seq_first.value;
    if (next == 0 || next - 1 > seq.value) break;
    bytes += generations[i].bytes;
  }
  return bytes;
}

RetentionPlan PlanRetention(const RetentionFacts& facts) {
  RetentionPlan plan;
  plan.disk_low = facts.disk_free < facts.disk_free_min;
  if (!plan.disk_low) {
    const base::Seq before_first(facts.first.value > 0 ? facts.first.value - 1 : 0);
    plan.retention = std::max(
        {TruncatableUpTo(facts.generations, facts.keep_bytes), facts.backed_up, before_first});
    if (!facts.circular) plan.backup_base = std::max(facts.backed_up, before_first);
  }
  std::vector<log::Hold> holds = facts.holds;
  while (LetOneGo(facts, facts.straggler_bytes_max, /*for_disk=*/false, holds, plan)) {
  }
  const auto free_after = [&] {
    return facts.disk_free + RemovableBytes(facts.generations, Allowed(holds, plan));
  };
  while (plan.disk_low && free_after() < facts.disk_free_min &&
         LetOneGo(facts, kLowDiskStragglerBytes, /*for_disk=*/true, holds, plan)) {
  }
  return plan;
}

}  // namespace understudy::server
