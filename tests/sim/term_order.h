// SPDX-License-Identifier: Apache-2.0
// Whether two copies were writable at one moment: acknowledged commits are put to the terms of the
// registry, each to a term of its server, so that one which ended before another began has no
// higher term. Where there is no such order, a copy took commits after a later term had begun
// elsewhere. It goes by time alone, so it needs no help of what is checked; and what overlaps may
// be in any order, so a slow test is weaker, never wrong.
//
// Threading: functions without state.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"

namespace understudy::sim {

struct TimedCommit {
  std::string server;
  base::SteadyTime begin;
  base::SteadyTime end;
};

// Those of `commits` that fit in no order. `terms`: the servers of the terms, by term.
std::vector<TimedCommit> FindOutOfOrder(const std::map<uint64_t, std::string>& terms,
                                        std::vector<TimedCommit> commits);

}  // namespace understudy::sim
