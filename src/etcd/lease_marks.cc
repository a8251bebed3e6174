// SPDX-License-Identifier: Apache-2.0
#include "etcd/lease_marks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace understudy::etcd {
namespace {

using cluster::LeaseId;
using cluster::Revision;

// Clocks of two machines may differ in rate, by this much and more than any that works.
constexpr int kMarginOfTtl = 32;
constexpr base::Duration kMarginMin = std::chrono::milliseconds(50);

std::optional<int64_t> Number(std::string_view text, int base) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<base::Duration> TtlOf(std::string_view value) {
  const std::optional<int64_t> ms = Number(value, 10);
  if (!ms || *ms <= 0 || *ms > LeaseMarks::kTtlMax / std::chrono::milliseconds(1)) {
    return std::nullopt;
  }
  return std::chrono::milliseconds(*ms);
}

std::optional<LeaseId> LeaseOf(std::string_view key) {
  return LeaseMarks::IsKey(key) ? Number(key.substr(LeaseMarks::kPrefix.size()), 16) : std::nullopt;
}

}  // namespace

std::string LeaseMarks::Key(LeaseId lease) { return fmt::format("{}{:016x}", kPrefix, lease); }

std::string LeaseMarks::Value(base::Duration ttl) {
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(ttl).count());
}

bool LeaseMarks::IsKey(std::string_view key) { return key.substr(0, kPrefix.size()) == kPrefix; }

base::Duration LeaseMarks::Grace(base::Duration ttl) {
  return std::max<base::Duration>(kGraceMin, ttl / 3);
}

base::Duration LeaseMarks::Margin(base::Duration ttl) {
  return std::max<base::Duration>(kMarginMin, ttl / kMarginOfTtl);
}

void LeaseMarks::Saw(std::string_view key, const std::optional<std::string>& value,
                     Revision modified, base::SteadyTime now) {
  const std::optional<LeaseId> lease = LeaseOf(key);
  if (!lease) return;
  const std::optional<base::Duration> ttl = value ? TtlOf(*value) : std::nullopt;
  const auto found = marks_.find(*lease);
  if (!ttl) {
    if (found != marks_.end()) marks_.erase(found);
    return;
  }
  if (found == marks_.end() && marks_.size() >= kMarksMax) return;
  if (found != marks_.end() && found->second.modified >= modified) return;
  marks_[*lease] = Seen{modified, *ttl, now, std::nullopt};
}

void LeaseMarks::KeepOnly(const std::vector<cluster::KeyValue>& keys) {
  std::set<LeaseId> there;
  for (const cluster::KeyValue& pair : keys) {
    if (const std::optional<LeaseId> lease = LeaseOf(pair.key)) there.insert(*lease);
  }
  std::erase_if(marks_, [&](const auto& mark) { return there.count(mark.first) == 0; });
}

bool LeaseMarks::IsLate(const Seen& seen, base::SteadyTime now) {
  return now - seen.since >= seen.ttl - Grace(seen.ttl);
}

bool LeaseMarks::WantsAnswer(base::SteadyTime now) const {
  return std::any_of(marks_.begin(), marks_.end(), [&](const auto& mark) {
    return !mark.second.answered && IsLate(mark.second, now);
  });
}

void LeaseMarks::Answered(base::SteadyTime now) {
  for (auto& [lease, seen] : marks_) {
    if (!seen.answered && IsLate(seen, now)) seen.answered = now;
  }
}

std::vector<LeaseMarks::Mark> LeaseMarks::Ended(base::SteadyTime now) const {
  std::vector<Mark> ended;
  for (const auto& [lease, seen] : marks_) {
    const bool over = now - seen.since >= seen.ttl + Margin(seen.ttl);
    if (over && seen.answered && now - *seen.answered >= Grace(seen.ttl)) {
      ended.push_back({lease, seen.modified});
    }
  }
  return ended;
}

}  // namespace understudy::etcd
