// SPDX-License-Identifier: Apache-2.0
#include "server/freshness.h"

#include <algorithm>

namespace understudy::server {

void Freshness::Heard(base::SteadyTime now, base::Seq end) {
  connected_ = true;
  if (!samples_.empty() && end < samples_.back().end) samples_.clear();  // another log
  const size_t count = samples_.size();
  if (count >= 2 && samples_[count - 1].time - samples_[count - 2].time < kSpacing) {
    samples_.back() = {now, end};
  } else {
    samples_.push_back({now, end});
  }
  // The newest of equal ends says all.
  if (samples_.size() >= 3 && samples_[samples_.size() - 3].end == end) {
    samples_.erase(samples_.end() - 3);
  }
  if (samples_.size() > kSamplesMax) ThinOut(now);
}

void Freshness::ThinOut(base::SteadyTime now) {
  std::deque<Sample> kept = {samples_.front()};
  for (size_t i = 1; i + 1 < samples_.size(); ++i) {
    const Sample& next = samples_[i + 1];
    const base::Duration gap = next.time - kept.back().time;
    if (gap * kPrecision > now - next.time) kept.push_back(samples_[i]);
  }
  kept.push_back(samples_.back());
  samples_.swap(kept);
  while (samples_.size() > kSamplesMax / 2) samples_.pop_front();
}

void Freshness::Forget() {
  samples_.clear();
  connected_ = false;
}

std::optional<base::Duration> Freshness::Age(base::SteadyTime now, base::Seq seq) const {
  const auto beyond =
      std::find_if(samples_.begin(), samples_.end(), [&](const Sample& s) { return s.end > seq; });
  if (beyond == samples_.begin()) return std::nullopt;
  const base::Duration age = std::max(now - std::prev(beyond)->time, base::Duration(0));
  const bool everything = beyond == samples_.end();
  if (everything && connected_ && age <= overdue_) return base::Duration(0);
  return age;
}

base::Duration Freshness::AgeAtLeast(base::SteadyTime now, base::Seq seq) const {
  if (const auto age = Age(now, seq)) return *age;
  return samples_.empty() ? base::Duration(0) : now - samples_.front().time;
}

}  // namespace understudy::server
