// SPDX-License-Identifier: Apache-2.0
// What a passive copy tells of itself: state, positions, events.
#include <fmt/format.h>

#include <utility>

#include "server/passive_copy.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

void SetPosition(const base::Position& from, v1::Position* to) {
  to->set_term(from.term.value);
  to->set_seq(from.seq.value);
}

void PublishLog(const log::LogStore& log, v1::CopyStatus& status) {
  SetPosition(log.end().position, status.mutable_copied());
  SetPosition(log.durable(), status.mutable_durable());
  status.set_log_bytes(log.bytes());
  status.set_log_first_seq(log.first_seq().value);
  for (const log::Hold& hold : log.holds()) {
    v1::Hold* to = status.add_holds();
    to->set_name(hold.name);
    to->set_reason(hold.reason);
    to->set_seq(hold.seq.value);
  }
}

}  // namespace

std::string PassiveCopy::StateName() const {
  using ship::CopyState;
  if (!suspended_ && resynchronizing()) {
    return std::string(CopyStateName(channel_ != nullptr
                                         ? CopyState::kResynchronizing
                                         : CopyState::kDisconnectedAndResynchronizing));
  }
  if (!copier_) {
    if (suspended_) return broken_.ok() ? "Suspended" : "FailedAndSuspended";
    return broken_.ok() ? "Initializing" : "Failed";
  }
  const CopyState state = copier_->status().state;
  // Copied but not yet open for replay: it cannot be read or backed up.
  if (replaying_ && !worker_.progress().open && state == CopyState::kHealthy) {
    return std::string(CopyStateName(CopyState::kInitializing));
  }
  // The active cannot serve us (it is not mounted): that is no failure of this copy.
  if (state == CopyState::kFailed && copier_->failure().code() == base::Code::kUnavailable &&
      worker_.progress().open) {
    return std::string(CopyStateName(CopyState::kDisconnectedAndHealthy));
  }
  if (state == CopyState::kHealthy && page_repair_) return "PageRepair";
  return std::string(CopyStateName(state));
}

void PassiveCopy::SetPageRepair(bool under_way) {
  if (page_repair_.exchange(under_way) != under_way) link_->Notify();
}

// An event for each state that lasts; those passed through on the way are in the status only.
void PassiveCopy::ReportState(const std::string& state, const base::Status& failure) {
  if (state == "Initializing" || state == "Resynchronizing" || state == last_state_) return;
  if (state.rfind("Failed", 0) == 0) {
    context_.events.Add(EventNumber::kCopyFailed, Severity::kError, options_.name,
                        fmt::format("the copy of {} on {} has failed: {}", options_.name,
                                    context_.server, failure.ToString()));
  } else {
    context_.events.Add(
        EventNumber::kCopyStateChanged, Severity::kInfo, options_.name,
        fmt::format("the copy of {} on {} is {}", options_.name, context_.server, state));
  }
  last_state_ = state;
}

void PassiveCopy::Publish() {
  v1::CopyStatus status;
  status.set_server(context_.server);
  status.set_incarnation(options_.incarnation);
  status.set_path(options_.path);
  status.set_role("passive");
  status.set_state(StateName());
  status.set_reseeding(mark_.has_value());
  status.set_observed_ms(context_.env.WallNow().unix_ms);
  base::Status failure = broken_;
  if (copier_) {
    const ship::LogCopier::Status& copier = copier_->status();
    status.set_copy_queue(copier.copy_queue);
    status.set_queues_known(copier.connected);
    status.set_connected(copier.connected);
    SetPosition(copier.source_end, status.mutable_source_end());
    status.set_final_term(copier.final_term.value);
    status.set_refused_terms(copier.counters.rejected_term);
    if (copier.connected) {
      status.set_mode(copier.mode == ship::ShipMode::kBlock ? "block" : "file");
    }
    PublishLog(*log_, status);
    if (failure.ok()) failure = copier.failure;
  }
  if (seed_ && !replaying_) {
    status.set_seed_bytes_done(seed_->status().page_bytes_done);
    status.set_seed_bytes_total(seed_->status().page_bytes_total);
    if (seed_channel_ != nullptr) status.set_seed_source(seed_->status().source);
    const std::string& waits = seed_->status().waiting;
    status.set_seed_waits(
        !seed_waits_.empty() ? fmt::format("on {} {}", context_.server, seed_waits_) : waits);
    if (failure.ok()) failure = seed_->status().failure;
  } else {
    const log::LogEnd replayed = worker_.progress().replayed;
    SetPosition(replayed.position, status.mutable_replayed());
    status.set_last_commit_ms(replayed.commit_time.unix_ms);
    status.set_database_bytes(uint64_t{replayed.pages} * replayed.page_size);
    status.set_checksum(fmt::format("{:016x}", replayed.checksum));
    const uint64_t durable = status.durable().seq();
    const uint64_t done = replayed.position.seq.value;
    status.set_replay_queue(durable > done ? durable - done : 0);
  }
  PublishLag(status);
  if (!failure.ok()) {
    status.set_error_code(std::string(base::CodeName(failure.code())));
    status.set_error(failure.message());
    status.set_error_time_ms(context_.env.WallNow().unix_ms);
  }
  ReportState(status.state(), failure);
  const bool at_rest = suspended_ && worker_.at_rest();
  base::MutexLock lock(mutex_);
  at_rest_ = at_rest && wishes_.suspended;
  // An old failure keeps its time.
  if (status.error() == status_.error()) status.set_error_time_ms(status_.error_time_ms());
  if (suspended_) status.set_suspend_reason(wishes_.reason);
  if (wishes_.reseed) status.set_reseeding(true);
  if (!copier_ || !copier_->status().connected) freshness_.Disconnected();
  if (copier_ && unheeded_ && copier_->status().state == ship::CopyState::kHealthy) {
    freshness_.Heard(*std::exchange(unheeded_, std::nullopt), copier_->status().source_end.seq);
  }
  held_log_ = {log_, status.connected() && status.source_end().seq() > 0 &&
                         status.durable().seq() >= status.source_end().seq()};
  status_ = std::move(status);
  published_.NotifyAll();
}

bool PassiveCopy::WaitSuspended(base::Duration limit) {
  const base::SteadyTime end = context_.env.Now() + limit;
  base::MutexLock lock(mutex_);
  while (!at_rest_) {
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) return false;
    published_.WaitFor(mutex_, left);
  }
  return true;
}

void PassiveCopy::WaitStatus(base::Duration limit) {
  base::MutexLock lock(mutex_);
  published_.WaitFor(mutex_, limit);
}

PassiveCopy::Ages PassiveCopy::ages() const {
  const base::SteadyTime now = context_.env.Now();
  base::MutexLock lock(mutex_);
  return {freshness_.Age(now, base::Seq(status_.durable().seq())),
          freshness_.Age(now, base::Seq(status_.replayed().seq()))};
}

v1::CopyStatus PassiveCopy::Status() const {
  const base::SteadyTime now = context_.env.Now();
  base::MutexLock lock(mutex_);
  v1::CopyStatus status = status_;
  const bool never = heard_ == base::SteadyTime{};
  status.set_silence_ms(never ? -1 : (now - heard_) / std::chrono::milliseconds(1));
  return status;
}

}  // namespace understudy::server
