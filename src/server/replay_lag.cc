// SPDX-License-Identifier: Apache-2.0
#include "server/replay_lag.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace understudy::server {

using Cause = ReplayLag::PlayingDown::Cause;

void ReplayLag::PlayDown(base::Seq to, const std::string& why) {
  asked_ = PlayingDown{.cause = Cause::kAsked, .why = why, .from = {}, .to = to};
}

ReplayLag::Decision ReplayLag::Decide(const Facts& facts) {
  Decision decision;
  if (facts.lag <= base::Duration(0)) {
    asked_.reset();
    marks_.Clear();
    if (playing_) End(facts.replayed, decision);
    return decision;
  }
  marks_.Note(facts.now, facts.durable, facts.lag);
  marks_.Trim(facts.now, facts.replayed, facts.lag);
  if (playing_) Follow(facts, decision);
  Begin(facts, decision);
  if (facts.release_all) return decision;
  decision.limit = marks_.Matured(facts.now, facts.lag);
  if (playing_) decision.limit = std::max(decision.limit, playing_->to);
  decision.next = marks_.NextMaturity(facts.now, facts.lag);
  return decision;
}

// Goes on with a play-down, or ends it.
void ReplayLag::Follow(const Facts& facts, Decision& decision) {
  if (facts.replayed < playing_->to) return;
  switch (playing_->cause) {
    case Cause::kAsked: End(facts.replayed, decision); return;
    case Cause::kCopies:
      if (facts.few_copies.empty()) return End(facts.replayed, decision);
      playing_->why = facts.few_copies;
      playing_->to = facts.durable;
      return;
    case Cause::kDisk: break;
  }
  if (reclaimed_ < playing_->to) {
    wants_reclaim_ = true;
    reclaimed_ = playing_->to;
  }
  if (wants_reclaim_) return;
  if (facts.disk_low.empty()) return End(facts.replayed, decision);
  playing_->why = facts.disk_low;
  playing_->to = std::max(playing_->to, facts.chunk_end);
}

void ReplayLag::Begin(const Facts& facts, Decision& decision) {
  const bool held = facts.replayed < facts.durable;
  std::optional<PlayingDown> wanted = std::exchange(asked_, std::nullopt);
  // Somebody who asks is served also where only chunks would be replayed.
  if (!wanted && !playing_ && held && !facts.disk_low.empty()) {
    wanted = PlayingDown{Cause::kDisk, facts.disk_low, {}, facts.chunk_end};
    reclaimed_ = facts.replayed;
    wants_reclaim_ = false;
  }
  if (!wanted && !playing_ && held && !facts.few_copies.empty()) {
    wanted = PlayingDown{Cause::kCopies, facts.few_copies, {}, facts.durable};
  }
  if (!wanted || wanted->to <= facts.replayed) return;
  const bool goes_on = playing_.has_value();
  wanted->from = goes_on ? playing_->from : facts.replayed;
  if (goes_on) wanted->to = std::max(wanted->to, playing_->to);
  playing_ = std::move(wanted);
  decision.began = fmt::format("log is replayed from {} to {} before its time, because {}",
                               facts.replayed.value, playing_->to.value, playing_->why);
}

void ReplayLag::End(base::Seq replayed, Decision& decision) {
  decision.ended =
      fmt::format("{} commits were replayed before their time, up to {}",
                  replayed.value - std::min(playing_->from.value, replayed.value), replayed.value);
  playing_.reset();
  wants_reclaim_ = false;
}

}  // namespace understudy::server
