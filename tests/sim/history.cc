// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/history.h"

#include <fmt/format.h>

#include <algorithm>

namespace understudy::sim {
namespace {

using Kind = Anomaly::Kind;

double Seconds(base::SteadyTime time) {  // as the simulator prints them
  return std::chrono::duration<double>(time.time_since_epoch() - std::chrono::hours(1)).count();
}

class Search {
 public:
  Search(const History& history, const LossBound& bound) : history_(history), bound_(bound) {
    for (const auto& [row, add] : history.adds) {
      if (add.told == AddEnd::kAcknowledged) acknowledged_.push_back({row, &add, add.end});
    }
    for (size_t at = acknowledged_.size(); at-- > 1;) {
      base::SteadyTime& before = acknowledged_[at - 1].first_end;
      before = std::min(before, acknowledged_[at].first_end);
    }
  }

  std::vector<Anomaly> Run() {
    const std::set<int64_t> there(history_.last.begin(), history_.last.end());
    if (there.size() != history_.last.size()) FindDuplicates();
    for (const int64_t row : there) CheckSeen(row, nullptr);
    for (const auto& [row, add] : history_.adds) {
      if (add.told == AddEnd::kAcknowledged && !there.contains(row)) CheckMissing(row, add);
    }
    for (const Read& read : history_.reads) CheckRead(read);
    return std::move(found_);
  }

 private:
  void Tell(Kind kind, int64_t row, std::string text) {
    found_.push_back({kind, row, fmt::format("row {}: {}", row, text)});
  }

  void FindDuplicates() {
    std::set<int64_t> seen;
    for (const int64_t row : history_.last) {
      if (!seen.insert(row).second) Tell(Kind::kDuplicated, row, "is there twice");
    }
  }

  // By a read, or in the end.
  void CheckSeen(int64_t row, const Read* read) {
    const auto add = history_.adds.find(row);
    const std::string where = read == nullptr ? "is there"
                                              : fmt::format("was read by {} at {:.4f}",
                                                            read->client, Seconds(read->begin));
    if (add == history_.adds.end()) return Tell(Kind::kInvented, row, where + ", nobody wrote it");
    if (add->second.told == AddEnd::kRefused)
      Tell(Kind::kUndead, row, where + ", though its commit was refused");
  }

  void CheckMissing(int64_t row, const Add& add) {
    const std::string what =
        fmt::format("acknowledged on {} at {:.4f}, is gone", add.server, Seconds(add.end));
    if (!history_.kept.contains(row)) return Tell(Kind::kLost, row, what);
    if (bound_.lossless) return Tell(Kind::kBeyondDial, row, what + "; the dial is lossless");
    base::SteadyTime next = base::SteadyTime::max();
    for (const auto& [other, each] : history_.adds) {
      if (each.told == AddEnd::kAcknowledged && each.server != add.server && each.begin > add.end)
        next = std::min(next, each.begin);
    }
    if (next == base::SteadyTime::max() || next - add.end <= bound_.after) return;
    Tell(Kind::kBeyondDial, row,
         fmt::format("{}; the next server began only at {:.4f}", what, Seconds(next)));
  }

  void CheckRead(const Read& read) {
    for (const int64_t row : read.saw) CheckSeen(row, &read);
    for (const int64_t row : read.saw) {
      const auto add = history_.adds.find(row);
      if (add != history_.adds.end() && add->second.begin > read.end)
        Tell(Kind::kInvented, row, "was read by " + read.client + " before it was written");
    }
    if (read.fresh) CheckFresh(read);
    std::set<int64_t>& before = seen_[read.client];
    for (auto row = before.lower_bound(read.from); row != before.end(); ++row) {
      if (read.saw.contains(*row) || history_.kept.contains(*row)) continue;
      Tell(Kind::kNotMonotonic, *row,
           fmt::format("was seen by {} before, and is not at {:.4f}", read.client,
                       Seconds(read.begin)));
    }
    before = read.saw;
  }

  void CheckFresh(const Read& read) {
    auto at =
        std::lower_bound(acknowledged_.begin(), acknowledged_.end(), read.from,
                         [](const Acknowledged& each, int64_t from) { return each.row < from; });
    for (; at != acknowledged_.end() && at->first_end < read.begin; ++at) {
      const Add& add = *at->add;
      if (add.end >= read.begin) continue;
      if (read.saw.contains(at->row) || history_.kept.contains(at->row)) continue;
      Tell(Kind::kStale, at->row,
           fmt::format("acknowledged on {} at {:.4f}, is not seen by {} at {:.4f}", add.server,
                       Seconds(add.end), read.client, Seconds(read.begin)));
    }
  }

  struct Acknowledged {
    int64_t row = 0;
    const Add* add = nullptr;
    base::SteadyTime first_end;  // of this one and all with a higher number
  };
  const History& history_;
  const LossBound& bound_;
  std::vector<Acknowledged> acknowledged_;         // by row
  std::map<std::string, std::set<int64_t>> seen_;  // by the last read of each client
  std::vector<Anomaly> found_;
};

}  // namespace

std::vector<Anomaly> FindAnomalies(const History& history, const LossBound& bound) {
  return Search(history, bound).Run();
}

}  // namespace understudy::sim
