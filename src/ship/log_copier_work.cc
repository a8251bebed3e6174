// SPDX-License-Identifier: Apache-2.0
// The work of LogCopier::RunOnce.
#include <fmt/format.h>

#include <algorithm>

#include "base/planted.h"
#include "ship/log_copier_core.h"

namespace understudy::ship {
namespace {

constexpr size_t kAppendBytesPerRun = 4 << 20;  // then a sync and an Ack
constexpr base::Duration kChannelFullRetry = std::chrono::milliseconds(10);
constexpr base::Duration kSeedPoll = std::chrono::milliseconds(50);

}  // namespace

RunResult LogCopier::Core::Run(base::SteadyTime now) {
  RunResult result;
  CheckTimes(now, result);
  Ask(now, result);
  AppendQueue(now, result);
  SendAck(now, result);
  return result;
}

void LogCopier::Core::CheckTimes(base::SteadyTime now, RunResult& result) {
  if (status.state == CopyState::kFailed && now >= recheck_at) {
    recheck_at = base::SteadyTime::max();
    attempts = 0;
    status.failure = {};
    Move(CopyEvent::kRecheck, "trying again", now);
    if (channel != nullptr) {
      Move(CopyEvent::kConnected, "trying again", now);
      StartAsking(now);
    }
    result.worked = true;
  }
  if (status.state == CopyState::kFailed) result.Sooner(recheck_at);
  if (!subscribed || accepted || channel == nullptr) return;
  if (now < answer_due) {
    result.Sooner(answer_due);
    return;
  }
  AskAgain(base::TimedOut(fmt::format(
               "{} did not answer for {} s (limit answer_limit)", status.source,
               std::chrono::duration_cast<std::chrono::seconds>(options.answer_limit).count())),
           now);
  result.worked = true;
}

void LogCopier::Core::Ask(base::SteadyTime now, RunResult& result) {
  if (channel == nullptr) return;
  if (want_unsubscribe) {
    if (channel->TrySend(Unsubscribe{options.database})) {
      want_unsubscribe = false;
      result.worked = true;
    } else {
      result.Sooner(now + kChannelFullRetry);
    }
  }
  if (!want_subscribe) return;
  if (now < ask_at) {
    result.Sooner(ask_at);
    return;
  }
  const log::LogEnd end = log.end();
  if (end.position.seq.value == 0) {
    if (status.state == CopyState::kSeeding) {
      result.Sooner(now + kSeedPoll);  // until SeedStart has given the log its start
    } else {
      GiveUp(base::LogGap("this copy has no log and no database yet: it needs a seed"), now);
    }
    return;
  }
  // What was appended before a cut may not be synced yet; `have` must be durable.
  if (const base::Status synced = log.Sync(); !synced.ok()) {
    GiveUp(synced.WithContext("this copy's log"), now);
    return;
  }
  RefreshEnds();
  Subscribe message;
  message.database = options.database;
  message.request = request + 1;
  message.incarnation = options.incarnation;
  message.term_known = term_known;
  message.have = end;
  if (const auto incomplete = log.incomplete()) {
    message.incomplete_parts = incomplete->parts;
    message.incomplete_last_crc = incomplete->last_crc;
  }
  message.window_bytes = options.window_bytes;
  if (!channel->TrySend(std::move(message))) {
    result.Sooner(now + kChannelFullRetry);
    return;
  }
  ++request;
  ++status.counters.subscribes;
  want_subscribe = false;
  subscribed = true;
  consumed_bytes = 0;
  answer_due = now + options.answer_limit;
  result.Sooner(answer_due);
  result.worked = true;
}

base::Status LogCopier::Core::AppendOne(const Queued& queued, base::SteadyTime now) {
  const InspectionPoint point{options.database, term_known, source_term, log.chain()};
  const Inspection inspection = Inspect(point, queued.generation, queued.bytes);
  if (inspection.rejection) {
    Reject(*inspection.rejection, inspection.status, now);
    return inspection.status;
  }
  if (inspection.begins_anew) {
    ++status.counters.restarted_records;
    if (base::Status dropped = log.DropIncomplete(); !dropped.ok()) {
      GiveUp(dropped.WithContext("this copy's log"), now);
      return dropped;
    }
  }
  base::Status appended = log.AppendToGeneration(queued.generation, queued.bytes);
  if (!appended.ok()) {
    // Either the disk, or a rule that the store knows better than the inspector.
    if (IsBroken(appended.code())) {
      GiveUp(appended.WithContext("this copy's log"), now);
    } else {
      Reject(Rejection::kSequence, appended, now);
    }
    return appended;
  }
  term_known = std::max(term_known, inspection.part.header.term);
  ++status.counters.parts;
  status.counters.bytes += queued.bytes.size();
  return {};
}

void LogCopier::Core::AppendQueue(base::SteadyTime now, RunResult& result) {
  size_t appended = 0;
  while (!queue.empty() && appended < kAppendBytesPerRun) {
    const size_t bytes = queue.front().bytes.size();
    // A failure empties the queue.
    if (!AppendOne(queue.front(), now).ok()) break;
    queue.pop_front();
    status.queued_bytes -= bytes;
    consumed_bytes += bytes;
    appended += bytes;
  }
  if (appended == 0) return;
  result.worked = true;
  const bool skip = PLANTED("acknowledged-before-sync");
  if (const base::Status synced = skip ? base::Status() : log.Sync(); !synced.ok()) {
    GiveUp(synced.WithContext("this copy's log"), now);
    return;
  }
  ++status.counters.syncs;
  RefreshEnds();
  ack_due = subscribed;
}

void LogCopier::Core::SendAck(base::SteadyTime now, RunResult& result) {
  if (channel == nullptr || !subscribed || !accepted) return;
  if (!ack_due && now < replayed_ack_at) {
    result.Sooner(replayed_ack_at);
    return;
  }
  Ack ack;
  ack.database = options.database;
  ack.request = request;
  ack.received = status.received;
  ack.durable = status.durable;
  ack.replayed = status.replayed;
  ack.consumed_bytes = consumed_bytes;
  if (!channel->TrySend(std::move(ack))) {
    result.Sooner(now + kChannelFullRetry);
    return;
  }
  ack_due = false;
  replayed_ack_at = base::SteadyTime::max();
  result.worked = true;
}

}  // namespace understudy::ship
