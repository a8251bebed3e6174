// SPDX-License-Identifier: Apache-2.0
// ReplayLag: what of a lagged copy's durable log may be replayed at a moment
// (docs/design/0008-lagged-copies.md). It decides and does nothing itself: passive_copy_lag.cc
// gathers the facts and carries the decision out.
//
//   Lagging -> PlayingDown   somebody asked (PlayDown), the log's disk is low, copies are few
//   PlayingDown -> Lagging   what was asked for is replayed, the cause is gone, or no lag is wanted
//
// Playing down for the disk goes in chunks: after each one its log has to be reclaimed and the disk
// to be looked at again (wants_reclaim, Reclaimed), so that no more of the lag is given up than is
// needed. Threading: thread-compatible.
#pragma once

#include <optional>
#include <string>

#include "server/lag_marks.h"

namespace understudy::server {

// How much held log is replayed before the disk is looked at again.
inline constexpr uint64_t kPlayDownChunkBytes = 64 << 20;

class ReplayLag {
 public:
  struct Facts {
    base::SteadyTime now;
    base::Seq durable;
    base::Seq replayed;
    base::Duration lag{};
    std::string disk_low;      // a sentence; empty: it is not
    std::string few_copies;    // the same
    base::Seq chunk_end;       // of the log: where a chunk that begins at `replayed` ends
    bool release_all = false;  // the copy is to be mounted, or replaced
  };
  struct Decision {
    base::Seq limit{UINT64_MAX};  // replay no further
    base::SteadyTime next = base::SteadyTime::max();
    // A play-down began or ended with this decision: a sentence.
    std::string began;
    std::string ended;
  };
  Decision Decide(const Facts& facts);

  // Replays up to `to` at once; `why` follows "because".
  void PlayDown(base::Seq to, const std::string& why);

  // Why and up to where log is replayed before its time.
  struct PlayingDown {
    enum class Cause { kAsked, kDisk, kCopies };
    Cause cause = Cause::kAsked;
    std::string why;
    base::Seq from;
    base::Seq to;
  };
  const std::optional<PlayingDown>& playing_down() const { return playing_; }
  bool for_disk() const { return playing_ && playing_->cause == PlayingDown::Cause::kDisk; }

  bool wants_reclaim() const { return wants_reclaim_; }
  void Reclaimed() { wants_reclaim_ = false; }

  LagMarks& marks() { return marks_; }

 private:
  void Follow(const Facts& facts, Decision& decision);
  void Begin(const Facts& facts, Decision& decision);
  void End(base::Seq replayed, Decision& decision);

  LagMarks marks_;
  std::optional<PlayingDown> asked_;
  std::optional<PlayingDown> playing_;
  bool wants_reclaim_ = false;
  base::Seq reclaimed_;  // wants_reclaim_ was raised here last
};

}  // namespace understudy::server
