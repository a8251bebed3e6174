// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/term_order.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace understudy::sim {

std::vector<TimedCommit> FindOutOfOrder(const std::map<uint64_t, std::string>& terms,
                                        std::vector<TimedCommit> commits) {
  std::sort(commits.begin(), commits.end(),
            [](const TimedCommit& a, const TimedCommit& b) { return a.begin < b.begin; });
  using Ended = std::pair<base::SteadyTime, uint64_t>;  // when, and the lowest term it can have
  std::priority_queue<Ended, std::vector<Ended>, std::greater<>> running;
  uint64_t reached = 0;
  std::vector<TimedCommit> wrong;
  for (const TimedCommit& commit : commits) {
    while (!running.empty() && running.top().first < commit.begin) {
      reached = std::max(reached, running.top().second);
      running.pop();
    }
    const auto term = std::find_if(terms.lower_bound(reached), terms.end(),
                                   [&](const auto& each) { return each.second == commit.server; });
    if (term == terms.end()) {
      wrong.push_back(commit);
    } else {
      running.emplace(commit.end, term->first);
    }
  }
  return wrong;
}

}  // namespace understudy::sim
