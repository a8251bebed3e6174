// SPDX-License-Identifier: Apache-2.0
// IdleSearch: for how long a path lets a connection be idle, found in two rounds of connections
// that are idle at the same time: the first tells between which of a few times they die, the second
// narrows that down. A binary search, but one that waits twice and not for each of its steps.
// Threading: thread-compatible.
#pragma once

#include <map>
#include <vector>

#include "base/time.h"

namespace understudy::server {

class IdleSearch {
 public:
  static constexpr int kRounds = 2;
  static constexpr size_t kConnectionsMax = 8;  // in a round

  explicit IdleSearch(base::Duration max) : max_(max) {}

  // For how long connections are to be idle now, ascending; empty: it is over.
  std::vector<base::Duration> NextRound();
  void Note(base::Duration idle, bool survived);

  base::Duration survived() const { return survived_; }  // the longest; zero: none
  base::Duration died() const { return died_; }          // the shortest; zero: none
  // How long all rounds take at most.
  base::Duration longest() const { return max_ * kRounds; }

 private:
  const base::Duration max_;
  int round_ = 0;
  base::Duration survived_{};
  base::Duration died_{};
};

}  // namespace understudy::server
