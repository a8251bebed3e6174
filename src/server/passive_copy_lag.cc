// SPDX-License-Identifier: Apache-2.0
// How a passive copy holds log back, and what it tells of that.
#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "cluster/activation.h"
#include "server/passive_copy.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kDiskLookInterval = std::chrono::seconds(5);
// While a play-down for the disk is under way.
constexpr base::Duration kDiskLookSoon = std::chrono::milliseconds(500);
// Marks are saved so often, or a 64th of the lag.
constexpr base::Duration kMarksSaveInterval = std::chrono::seconds(1);

// Why that much free space is too little; empty: it is not.
std::string JudgeSpace(const env::Space& space, const Config::Lag& lag) {
  const double percent = 100.0 * static_cast<double>(space.free) /
                         static_cast<double>(std::max<uint64_t>(space.total, 1));
  if (percent < static_cast<double>(lag.playdown_free_percent)) {
    return fmt::format("{:.1f} % of the log's disk are free, lag.playdown_free_percent is {}",
                       percent, lag.playdown_free_percent);
  }
  if (space.free < lag.playdown_free_bytes) {
    return fmt::format("{} bytes of the log's disk are free, lag.playdown_free_bytes is {}",
                       space.free, lag.playdown_free_bytes);
  }
  return "";
}

}  // namespace

void PassiveCopy::OpenLag() {
  lag_.marks().Load(context_.env, lag_path(), log_->durable().seq);
  const std::string leftover = env::JoinPath(options_.paths.directory, kActivateFile);
  if (!extracting_.test() && env::Exists(context_.env, leftover)) {
    context_.env.Remove(leftover)
        .IgnoreError();  // of a daemon that was killed; replaced when needed
  }
}

ReplayLag::Facts PassiveCopy::LagFacts(base::SteadyTime now) {
  ReplayLag::Facts facts{.now = now,
                         .durable = log_->durable().seq,
                         .replayed = worker_.progress().replayed.position.seq,
                         .lag = replay_lag_,
                         .disk_low = {},
                         .few_copies = {},
                         .chunk_end = {},
                         .release_all = handover_since_ != base::SteadyTime{} || about_to_reseed_};
  if (!worker_.progress().open || suspended_) return facts;
  facts.few_copies = few_copies_;
  facts.disk_low = disk_low_;
  if (!disk_low_.empty()) facts.chunk_end = ChunkEnd(facts.replayed);
  return facts;
}

void PassiveCopy::FollowLag(base::SteadyTime now, ship::RunResult& result) {
  if (replay_lag_ > base::Duration(0)) LookAtDisk(now);
  const ReplayLag::Decision decision = lag_.Decide(LagFacts(now));
  worker_.SetLimit(decision.limit);
  result.Sooner(decision.next);
  if (!decision.ended.empty()) {
    context_.events.Add(EventNumber::kPlayDownEnded, Severity::kInfo, options_.name,
                        fmt::format("play-down of {} on {} has ended: {}", options_.name,
                                    context_.server, decision.ended));
  }
  if (!decision.began.empty()) {
    const bool asked = lag_.playing_down()->cause == ReplayLag::PlayingDown::Cause::kAsked;
    context_.events.Add(
        EventNumber::kPlayDownStarted, asked ? Severity::kInfo : Severity::kWarning, options_.name,
        fmt::format("play-down of {} on {}: {}", options_.name, context_.server, decision.began));
  }
  if (replay_lag_ <= base::Duration(0)) {
    log_->ReleaseHold(std::string(kLagHold));
  } else if (worker_.progress().open) {
    log_->SetHold({.name = std::string(kLagHold),
                   .reason = fmt::format("the copy holds log back for {}; goes on with replay",
                                         cluster::LagText(replay_lag_)),
                   .seq = worker_.progress().replayed.position.seq});
  }
  if (lag_.wants_reclaim()) ReclaimLog(now);
  if (now >= next_marks_save_) SaveLagMarks(now);
}

void PassiveCopy::LookAtDisk(base::SteadyTime now) {
  if (now < next_disk_look_) return;
  next_disk_look_ = now + (lag_.for_disk() ? kDiskLookSoon : kDiskLookInterval);
  const auto space = context_.env.FreeSpace(options_.paths.log);
  if (space.ok()) disk_low_ = JudgeSpace(*space, context_.settings.Get().lag);
}

// kPlayDownChunkBytes of log further on, at a generation's end.
base::Seq PassiveCopy::ChunkEnd(base::Seq after) const {
  uint64_t bytes = 0;
  for (const log::GenerationInfo& generation : log_->generations()) {
    if (generation.seq_first.value > after.value + 1 && bytes >= kPlayDownChunkBytes) {
      return base::Seq(generation.seq_first.value - 1);
    }
    if (generation.seq_first > after) bytes += generation.bytes;
  }
  return log_->durable().seq;
}

// Log that was replayed for the disk's sake goes as soon as replay does not need it for a restart.
void PassiveCopy::ReclaimLog(base::SteadyTime now) {
  if (!reclaiming_) {
    reclaiming_ = std::make_shared<std::atomic<bool>>(false);
    const bool posted =
        worker_.tasks().Post([done = reclaiming_, link = link_](replay::Replayer* replayer) {
          // A failure shows in replay itself; log that it still needs stays held.
          if (replayer != nullptr) replayer->Checkpoint().IgnoreError();
          done->store(true);
          link->Notify();
        });
    if (!posted) reclaiming_.reset();
    return;
  }
  if (!reclaiming_->load()) return;
  reclaiming_.reset();
  next_retention_ = now;
  ApplyRetentionNow(now);
  next_disk_look_ = now;
  LookAtDisk(now);
  lag_.Reclaimed();
}

void PassiveCopy::SaveLagMarks(base::SteadyTime now) {
  next_marks_save_ = now + std::max(replay_lag_ / 64, kMarksSaveInterval);
  if (!lag_.marks().changed()) return;
  // Without them the lag begins anew after a restart: nothing is replayed too early.
  const base::Status saved = lag_.marks().Save(context_.env, lag_path());
  if (saved.ok()) return;
  base::Diag(base::DiagLevel::kWarning, "server", "when log came could not be noted",
             {{"database", options_.name}, {"why", saved.ToString()}});
}

void PassiveCopy::PublishLag(v1::CopyStatus& status) {
  status.set_replay_lag_ms(replay_lag_ / std::chrono::milliseconds(1));
  if (replay_lag_ <= base::Duration(0) || !replaying_) return;
  const base::Seq replayed(status.replayed().seq());
  status.set_lag_actual_ms(lag_.marks().AgeAfter(context_.env.Now(), replayed) /
                           std::chrono::milliseconds(1));
  if (!lag_.playing_down()) return;
  status.set_playing_down(lag_.playing_down()->why);
  status.set_play_down_to(lag_.playing_down()->to.value);
}

// --- any thread ---

void PassiveCopy::SetReplayLag(base::Duration lag) {
  {
    base::MutexLock lock(mutex_);
    if (wishes_.replay_lag == lag) return;
    wishes_.replay_lag = lag;
  }
  link_->Notify();
}

void PassiveCopy::SetFewCopies(const std::string& why) {
  {
    base::MutexLock lock(mutex_);
    if (wishes_.few_copies == why) return;
    wishes_.few_copies = why;
  }
  link_->Notify();
}

void PassiveCopy::RequestPlayDown(base::Seq to, const std::string& why) {
  {
    base::MutexLock lock(mutex_);
    wishes_.play_down_to = to;
    wishes_.play_down_why = why;
  }
  link_->Notify();
}

base::Result<PassiveCopy::HeldLog> PassiveCopy::held_log() const {
  base::MutexLock lock(mutex_);
  if (held_log_.log != nullptr) return held_log_;
  return base::Unavailable(fmt::format("the copy of {} on {} is {}: its log is not open",
                                       options_.name, context_.server, status_.state()));
}

}  // namespace understudy::server
