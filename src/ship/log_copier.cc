// SPDX-License-Identifier: Apache-2.0
// States, connection and messages; the work is in log_copier_work.cc.
#include "ship/log_copier.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "base/planted.h"
#include "ship/log_copier_core.h"

namespace understudy::ship {
namespace {

constexpr base::Duration kReplayedAckInterval = std::chrono::milliseconds(50);

// Failures that only an open of the log, a seed, a resync or another source can cure.
bool NeedsAction(base::Code code) {
  return code == base::Code::kLogGap || code == base::Code::kDiverged ||
         code == base::Code::kFenced || code == base::Code::kIoError ||
         code == base::Code::kNoSpace;
}

}  // namespace

LogCopier::Core::Core(env::Env& e, const Options& o, log::LogStore& l)
    : env(e), options(o), log(l) {
  status.state_since = env.Now();
  status.last_event = "start";
  term_known = log.end().position.term;
  RefreshEnds();
}

LogCopier::LogCopier(env::Env& env, const Options& options, log::LogStore& log)
    : core_(std::make_unique<Core>(env, options, log)) {}
LogCopier::~LogCopier() = default;

const LogCopier::Status& LogCopier::status() const { return core_->status; }

// --- states ---

void LogCopier::Core::Move(CopyEvent event, const std::string& why, base::SteadyTime now) {
  const std::optional<CopyState> next = NextCopyState(status.state, event);
  CHECK(next.has_value());
  if (*next == status.state) return;
  base::Diag(*next == CopyState::kFailed ? base::DiagLevel::kError : base::DiagLevel::kInfo, "ship",
             "copy changes state",
             {{"database", options.database_name},
              {"from", CopyStateName(status.state)},
              {"to", CopyStateName(*next)},
              {"why", why}});
  status.state = *next;
  status.state_since = now;
  status.last_event = why;
}

void LogCopier::Core::StartAsking(base::SteadyTime at) {
  StopAsking();
  want_subscribe = true;
  want_unsubscribe = false;
  ask_at = at;
}

// From here on everything that answers an earlier Subscribe is stale.
void LogCopier::Core::StopAsking() {
  want_subscribe = subscribed = accepted = ack_due = false;
  queue.clear();
  status.queued_bytes = 0;
  replayed_ack_at = base::SteadyTime::max();
}

Extent LogCopier::Core::extent() const {
  const auto incomplete = log.incomplete();
  return {log.end().position.seq, incomplete ? incomplete->parts : 0};
}

void LogCopier::Core::GiveUp(const base::Status& why, base::SteadyTime now) {
  StopAsking();
  status.failure = why;
  recheck_at = NeedsAction(why.code()) ? base::SteadyTime::max() : now + options.recheck_interval;
  Move(CopyEvent::kGaveUp, why.ToString(), now);
}

void LogCopier::Core::AskAgain(const base::Status& why, base::SteadyTime now) {
  const Extent here = extent();
  attempts = here > rejected_at ? 1 : attempts + 1;
  rejected_at = here;
  if (attempts > kAttemptsMax) {
    GiveUp(
        base::Status(why.code(), fmt::format("copying {} from {}: given up after asking {} times "
                                             "without progress after {}: {}; tried again in {} s",
                                             options.database_name, status.source, kAttemptsMax,
                                             ToString(log.end().position), why.message(),
                                             std::chrono::duration_cast<std::chrono::seconds>(
                                                 options.recheck_interval)
                                                 .count())),
        now);
    // Whatever its code, it was the wire that brought it, not our log: asking again may help.
    recheck_at = now + options.recheck_interval;
    return;
  }
  // The first time at once, then with growing delays.
  const base::Duration delay =
      attempts == 1
          ? base::Duration(0)
          : std::min(options.recheck_interval, options.retry_delay * (1 << (attempts - 2)));
  StartAsking(now + delay);
  base::Diag(base::DiagLevel::kWarning, "ship", "log rejected, asking again",
             {{"database", options.database_name},
              {"source", status.source},
              {"attempt", attempts},
              {"why", why.ToString()}});
  Move(CopyEvent::kRejected, why.ToString(), now);
}

void LogCopier::Core::Reject(Rejection rejection, const base::Status& why, base::SteadyTime now) {
  Counters& counters = status.counters;
  ++counters.rejected;
  switch (rejection) {
    case Rejection::kMalformed: ++counters.rejected_malformed; break;
    case Rejection::kDatabase: ++counters.rejected_database; break;
    case Rejection::kTerm: ++counters.rejected_term; break;
    case Rejection::kSequence: ++counters.rejected_sequence; break;
    case Rejection::kChecksum: ++counters.rejected_checksum; break;
  }
  AskAgain(why, now);
}

// --- connection ---

void LogCopier::OnConnected(Channel& channel, const std::string& source, base::SteadyTime now) {
  Core& core = *core_;
  if (core.channel != nullptr) OnDisconnected("replaced by a new connection", now);
  core.channel = &channel;
  core.status.connected = true;
  core.status.source = source;
  core.attempts = 0;
  if (core.status.state == CopyState::kFailed && !IsBroken(core.status.failure.code())) {
    core.status.failure = {};
    core.Move(CopyEvent::kRecheck, "connected to " + source, now);
  }
  if (!core.MayAsk()) return;
  core.Move(CopyEvent::kConnected, "connected to " + source, now);
  core.StartAsking(now);
}

void LogCopier::OnDisconnected(const std::string& cause, base::SteadyTime now) {
  Core& core = *core_;
  if (core.channel == nullptr) return;
  core.channel = nullptr;
  core.status.connected = false;
  ++core.status.counters.disconnects;
  core.StopAsking();
  core.want_unsubscribe = false;
  core.Move(CopyEvent::kDisconnected,
            fmt::format("connection to {} lost: {}", core.status.source, cause), now);
}

bool LogCopier::Core::MayAsk() const {
  return status.state != CopyState::kSuspended && status.state != CopyState::kFailedAndSuspended &&
         status.state != CopyState::kFailed;
}

void LogCopier::Suspend(const std::string& reason, base::SteadyTime now) {
  Core& core = *core_;
  if (core.subscribed && core.channel != nullptr) core.want_unsubscribe = true;
  core.StopAsking();
  core.Move(CopyEvent::kSuspend, "suspended: " + reason, now);
}

void LogCopier::Resume(base::SteadyTime now) {
  Core& core = *core_;
  if (core.MayAsk() || core.status.state == CopyState::kFailed) return;
  core.status.failure = {};
  core.Move(CopyEvent::kResume, "resumed", now);
  if (core.channel == nullptr) return;
  core.Move(CopyEvent::kConnected, "resumed", now);
  core.StartAsking(now);
}

void LogCopier::SeedBegin(base::SteadyTime now) {
  Core& core = *core_;
  core.status.failure = {};
  core.recheck_at = base::SteadyTime::max();
  core.attempts = 0;
  core.Move(CopyEvent::kSeedBegin, "a seed begins", now);
  core.StartAsking(now);
}

void LogCopier::SeedEnd(base::SteadyTime now) {
  Core& core = *core_;
  const bool was_seeding = core.status.state == CopyState::kSeeding;
  core.Move(CopyEvent::kSeedEnd, "the seed has ended", now);
  if (!was_seeding || core.channel == nullptr) return;
  core.Move(CopyEvent::kConnected, "the seed has ended", now);
  if (core.accepted) {
    core.Move(CopyEvent::kAccepted, "copying went on during the seed", now);
  } else if (!core.subscribed) {
    core.StartAsking(now);
  }
}

void LogCopier::SetTermKnown(base::Term term) {
  core_->term_known = std::max(core_->term_known, term);
}

void LogCopier::SetReplayed(base::Position replayed) {
  Core& core = *core_;
  if (replayed == core.status.replayed) return;
  core.status.replayed = replayed;
  const base::SteadyTime at = core.env.Now() + kReplayedAckInterval;
  core.replayed_ack_at = std::min(core.replayed_ack_at, at);
}

// --- messages ---

void LogCopier::OnMessage(Message&& message, base::SteadyTime now) {
  Core& core = *core_;
  if (auto* heartbeat = std::get_if<Heartbeat>(&message)) {
    if (!core.accepted) return;
    for (const Heartbeat::End& end : heartbeat->ends) {
      if (end.database != core.options.database) continue;
      core.RaiseSourceEnd(end.position, end.time);
      core.status.final_term = end.final_term;
    }
    return;
  }
  if (DatabaseOf(message) != core.options.database) return;
  if (auto* parts = std::get_if<Parts>(&message)) {
    core.OnParts(std::move(*parts), now);
  } else if (auto* refused = std::get_if<Refused>(&message); refused && !refused->seed) {
    core.OnRefused(*refused, now);
  }
}

void LogCopier::Core::OnParts(Parts&& message, base::SteadyTime now) {
  if (!subscribed || message.request != request) {
    ++status.counters.stale_messages;
    return;
  }
  if (const base::Status valid = CheckMessage(message); !valid.ok()) {
    Reject(Rejection::kMalformed, valid, now);
    return;
  }
  uint64_t bytes = 0;
  for (const base::Bytes& part : message.parts) bytes += part.size();
  if (status.queued_bytes + bytes > options.window_bytes) {
    ++status.counters.rejected;
    ++status.counters.rejected_window;
    AskAgain(base::InvalidArgument(fmt::format(
                 "{} sent {} bytes while {} were unacknowledged, but the window is {} bytes",
                 status.source, bytes, status.queued_bytes, options.window_bytes)),
             now);
    return;
  }
  source_term = message.source_term;
  if (!accepted) {
    accepted = true;
    status.source_end = {};  // of an earlier connection, maybe of another term's log
    ack_due = true;          // what was acknowledged on an earlier connection may not have arrived
    Move(CopyEvent::kAccepted,
         fmt::format("{} accepted our position {}", status.source, ToString(log.end().position)),
         now);
  }
  if (status.mode != message.mode) ++status.counters.mode_switches;
  status.mode = message.mode;
  RaiseSourceEnd(message.source_end, message.source_end_time);
  for (base::Bytes& part : message.parts) {
    queue.push_back({message.generation, std::move(part)});
  }
  status.queued_bytes += bytes;
}

void LogCopier::Core::OnRefused(const Refused& message, base::SteadyTime now) {
  if (message.request != 0 && (!subscribed || message.request != request)) {
    ++status.counters.stale_messages;
    return;
  }
  if (!MayAsk()) return;
  if (!CheckMessage(message).ok()) {
    Reject(Rejection::kMalformed, CheckMessage(message), now);
    return;
  }
  const base::Status why(message.code, fmt::format("{} refuses (term {}): {}", status.source,
                                                   message.term.value, message.message));
  term_known = std::max(term_known, message.term);
  // Our log is fine: the disk that failed is the source's.
  GiveUp(IsBroken(why.code()) ? base::Unavailable(why.message()) : why, now);
}

// A message with parts may have waited for a slow channel, and tells an older end than a heartbeat
// that overtook it: within one subscription the source's durable end only grows.
void LogCopier::Core::RaiseSourceEnd(base::Position end, base::WallTime time) {
  if (end.seq < status.source_end.seq) return;
  status.source_end = end;
  status.source_end_time = time;
  RefreshEnds();
}

void LogCopier::Core::RefreshEnds() {
  status.received = log.end().position;
  status.durable = PLANTED("acknowledged-before-sync") ? log.end().position : log.durable();
  const uint64_t source = status.source_end.seq.value;
  const uint64_t here = status.durable.seq.value;
  status.copy_queue = source > here ? source - here : 0;
}

RunResult LogCopier::RunOnce(base::SteadyTime now) {
  if (core_->channel != nullptr && core_->channel->closed()) {
    OnDisconnected("the channel was closed", now);
  }
  return core_->Run(now);
}

}  // namespace understudy::ship
