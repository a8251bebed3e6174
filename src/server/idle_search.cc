// SPDX-License-Identifier: Apache-2.0
#include "server/idle_search.h"

#include <algorithm>

namespace understudy::server {
namespace {

constexpr base::Duration kShortest = std::chrono::seconds(2);
constexpr base::Duration kNarrowEnough = std::chrono::milliseconds(500);

}  // namespace

std::vector<base::Duration> IdleSearch::NextRound() {
  std::vector<base::Duration> times;
  ++round_;
  if (round_ == 1) {
    // Each half as long again as the one before, up to the longest.
    for (base::Duration idle = max_; times.size() < kConnectionsMax && idle >= kShortest;
         idle = idle * 3 / 5) {
      times.push_back(idle);
    }
    if (times.empty()) times.push_back(max_);
  } else if (round_ <= kRounds && died_ != base::Duration(0) && died_ - survived_ > kNarrowEnough) {
    const base::Duration step = (died_ - survived_) / (kConnectionsMax + 1);
    for (size_t i = 1; i <= kConnectionsMax; ++i) {
      times.push_back(survived_ + step * static_cast<int64_t>(i));
    }
  }
  std::ranges::sort(times);
  return times;
}

void IdleSearch::Note(base::Duration idle, bool survived) {
  if (survived) {
    // One that died earlier than another survived says nothing of idleness.
    if (died_ == base::Duration(0) || idle < died_) survived_ = std::max(survived_, idle);
  } else if (died_ == base::Duration(0) || idle < died_) {
    died_ = idle;
    if (survived_ >= died_) survived_ = {};
  }
}

}  // namespace understudy::server
