// SPDX-License-Identifier: Apache-2.0
// Which copy is the active one: switchover and failover by hand.
#include <fmt/format.h>

#include <algorithm>

#include "base/mutex.h"
#include "cluster/activation.h"
#include "server/admin.h"

namespace understudy::server {
namespace {

using cluster::DatabaseRecord;
using cluster::EventNumber;
using cluster::Severity;

// How long applications may be kept from writing by a switchover.
constexpr base::Duration kSwitchoverLimitDefault = std::chrono::seconds(2);
constexpr base::Duration kSwitchoverLimitMax = std::chrono::minutes(5);
// Before that, with applications writing, the target may catch up for so long.
constexpr base::Duration kCatchUpLimit = std::chrono::seconds(15);
// A target that is connecting anew gets so long to be healthy.
constexpr base::Duration kSettleLimit = std::chrono::seconds(5);
constexpr base::Duration kMountLimit = std::chrono::seconds(60);
constexpr base::Duration kForwardGrace = std::chrono::seconds(5);
constexpr base::Duration kRelinquishLimit = std::chrono::seconds(5);
constexpr base::Duration kProgressSlice = std::chrono::milliseconds(50);

void SetPosition(const base::Position& from, v1::Position* to) {
  to->set_term(from.term.value);
  to->set_seq(from.seq.value);
}

int64_t Millis(base::Duration duration) { return duration / std::chrono::milliseconds(1); }

v1::FailoverResponse ToResponse(const cluster::DatabaseView& view, const cluster::Choice& choice) {
  v1::FailoverResponse response;
  response.set_database(view.record.name);
  response.set_active(view.record.active);
  response.set_active_alive(view.active_alive);
  response.set_dial(std::string(cluster::MountDialName(view.record.dial)));
  SetPosition(choice.known_end, response.mutable_known_end());
  for (const cluster::Candidate& candidate : choice.candidates) {
    v1::FailoverCandidate* to = response.add_candidates();
    to->set_server(candidate.server);
    to->set_eligible(candidate.eligible);
    to->set_verdict(candidate.verdict);
    SetPosition(candidate.durable, to->mutable_durable());
    to->set_missing(candidate.missing);
    to->set_silence_ms(candidate.silence ? Millis(*candidate.silence) : -1);
    to->set_preference(candidate.preference);
    to->set_replay_lag_ms(Millis(candidate.replay_lag));
  }
  response.set_target(choice.target());
  return response;
}

bool IsSettling(const cluster::DatabaseView& view) {
  return std::any_of(view.passives.begin(), view.passives.end(), [](const auto& copy) {
    return copy.state == "Resynchronizing" || copy.state == "Initializing";
  });
}

// A copy that is being mounted (after a failover, or after a lease that was lost for a moment) gets
// so long as a passive one that settles.
base::Status AwaitMounted(const ServerContext& context, ActiveCopy* copy, const std::string& name) {
  const base::Status mounted =
      copy == nullptr ? base::NotFound("there is none now") : copy->WaitMounted(kSettleLimit);
  if (mounted.ok()) return {};
  return base::Unavailable(
      fmt::format("the active copy of {0} on {1} is not mounted: {2}; nothing was changed\n"
                  "understudy failover explain {0} tells what can be done without it",
                  name, context.server, mounted.message()));
}

// Until the passive copy has replayed what was durable at the start: from then on it is close.
base::Status AwaitClose(const ServerContext& context, ActiveCopy& copy, const std::string& target) {
  ASSIGN_OR_RETURN(const Mount mount, copy.mount());
  const base::Seq goal = mount.log->durable().seq;
  const base::SteadyTime end = context.env.Now() + kCatchUpLimit;
  while (true) {
    const std::map<std::string, PeerProgress> progress = copy.peer_progress();
    const auto found = progress.find(target);
    const bool connected = found != progress.end() && found->second.connected;
    if (connected && found->second.replayed.seq >= goal) return {};
    if (context.env.Now() >= end) {
      return base::TimedOut(fmt::format(
          "the copy of {} on {} {} after {} s; nothing was changed", copy.name(), target,
          connected ? fmt::format("has replayed only up to {} of {}",
                                  found->second.replayed.seq.value, goal.value)
                    : "is not connected",
          kCatchUpLimit / std::chrono::seconds(1)));
    }
    copy.WaitPeerProgress(kProgressSlice);
  }
}

// A lagged copy holds back what applications write until the last moment.
base::Status CheckNoLag(const DatabaseRecord& record, const std::string& target) {
  const cluster::CopyRecord* const copy = record.FindCopy(target);
  if (copy == nullptr || copy->replay_lag <= base::Duration(0)) return {};
  return base::InvalidArgument(
      fmt::format("the copy of {0} on {1} lags by {2}, so it would not have everything, and there "
                  "is no better one; nothing was changed\nend its lag first: understudy copy lag "
                  "{0} {1} 0",
                  record.name, target, cluster::LagText(copy->replay_lag)));
}

}  // namespace

// --- switchover ---

base::Result<v1::SwitchoverResponse> Admin::Switchover(const v1::SwitchoverRequest& request) {
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  if (request.timeout_ms() < 0 || request.timeout_ms() > Millis(kSwitchoverLimitMax)) {
    return base::InvalidArgument(fmt::format("the timeout is {} ms, allowed are 0 to {}",
                                             request.timeout_ms(), Millis(kSwitchoverLimitMax)));
  }
  if (record.active == context_.server) return SwitchoverHere(request, record);
  if (request.forwarded()) {
    return base::Unavailable(fmt::format("the active copy of {} has just moved to {}: try again",
                                         record.name, record.active));
  }
  base::Result<std::unique_ptr<rpc::AdminClient>> client = Dial(record.active);
  if (!client.ok()) {
    return base::Unavailable(fmt::format(
        "{}: a switchover needs the active copy's server\nunderstudy failover explain {} tells "
        "what can be done without it",
        client.status().message(), record.name));
  }
  v1::SwitchoverRequest forward = request;
  forward.set_forwarded(true);
  return (*client)->Switchover(forward, std::chrono::milliseconds(request.timeout_ms()) +
                                            kCatchUpLimit + kMountLimit + kForwardGrace);
}

base::Result<std::string> Admin::ChooseTarget(const DatabaseRecord& record,
                                              const std::string& asked) {
  if (record.copies.size() < 2) {
    return base::NotFound(
        fmt::format("{0} has no other copy\nunderstudy copy add {0} SERVER adds one", record.name));
  }
  if (!asked.empty() && record.FindCopy(asked) == nullptr) {
    return base::NotFound(fmt::format("{} has no copy on {}", record.name, asked));
  }
  if (asked == record.active) {
    return base::InvalidArgument(
        fmt::format("the copy of {} on {} is the active one already", record.name, asked));
  }
  cluster::Selection how;
  how.dial = cluster::MountDial::kBest;  // it will have everything, or nothing is done
  how.only = asked;
  how.accept_any_state = !asked.empty();
  const base::SteadyTime end = context_.env.Now() + kSettleLimit;
  while (true) {
    ASSIGN_OR_RETURN(const GroupView group, ReadGroup(context_));
    cluster::DatabaseView view = ViewOf(group, record);
    AskServers(context_, host_, {&view});
    const cluster::Choice choice = cluster::ChooseBestCopy(view, how);
    if (!choice.target().empty()) return choice.target();
    // After a move a passive copy is connecting and comparing for a moment.
    if (!IsSettling(view) || context_.env.Now() >= end) {
      return base::Unavailable(fmt::format(
          "no copy of {0} can be mounted instead of the one on {1}: {2}\n'understudy status {0}' "
          "shows the copies' states",
          record.name, record.active, cluster::Explain(choice)));
    }
    base::Mutex mutex;
    base::CondVar nobody_signals;
    base::MutexLock lock(mutex);
    nobody_signals.WaitFor(mutex, kProgressSlice);
  }
}

// A backup survives a move; but whoever runs both rarely means to, and the copy that is read may
// become the active one.
base::Status Admin::CheckNoBackup(const DatabaseRecord& record) {
  std::optional<cluster::BackupLease> running = backups_.announced().Find(record.name);
  if (!running) {
    const auto holder = cluster::BackupArbiter(context_.registry.coordinator()).Holder(record.name);
    if (holder.ok()) running = *holder;  // without the coordinator no switchover succeeds anyway
  }
  if (!running) return {};
  return base::Busy(
      fmt::format("{} is not moved while its backup runs: {}\nwait for it, or --force the move: "
                  "the backup goes "
                  "on",
                  record.name, ToString(*running)));
}

base::Result<v1::SwitchoverResponse> Admin::SwitchoverHere(const v1::SwitchoverRequest& request,
                                                           const DatabaseRecord& record) {
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(record.id);
  RETURN_IF_ERROR(AwaitMounted(context_, copy.get(), record.name));
  if (!request.force()) RETURN_IF_ERROR(CheckNoBackup(record));
  ASSIGN_OR_RETURN(const std::string target, ChooseTarget(record, request.target()));
  RETURN_IF_ERROR(CheckNoLag(record, target));
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(target));
  RETURN_IF_ERROR(AwaitClose(context_, *copy, target));
  ActiveCopy::Switchover how;
  how.target = target;
  how.reason = request.reason().empty() ? "switchover" : request.reason();
  how.limit = request.timeout_ms() == 0
                  ? kSwitchoverLimitDefault
                  : base::Duration(std::chrono::milliseconds(request.timeout_ms()));
  const base::Result<ActiveCopy::Switched> switched = copy->SwitchTo(how);
  if (!switched.ok()) {
    return switched.status().WithContext(
        fmt::format("switchover of {} to {}", record.name, target));
  }
  watch_->Nudge();
  v1::AwaitMountRequest await;
  await.set_database(record.name);
  await.set_timeout_ms(Millis(kMountLimit));
  const base::Result<v1::AwaitMountResponse> mounted =
      client->AwaitMount(await, kMountLimit + kForwardGrace);
  const base::Duration without = context_.env.Now() - switched->since;
  if (!mounted.ok()) {
    return base::Status(
        mounted.status().code(),
        fmt::format("{} was moved to {}, with everything, but is not mounted there yet: {}",
                    record.name, target, mounted.status().message()));
  }
  context_.events.Add(
      EventNumber::kSwitchover, Severity::kInfo, record.name,
      fmt::format("switchover of {} from {} to {} at {}: {:.0f} ms without a writable copy",
                  record.name, context_.server, target, base::ToString(switched->at),
                  std::chrono::duration<double, std::milli>(without).count()));
  v1::SwitchoverResponse response;
  response.set_from(context_.server);
  response.set_to(target);
  SetPosition(switched->at, response.mutable_at());
  response.set_term(mounted->term());
  response.set_without_writes_us(without / std::chrono::microseconds(1));
  return response;
}

base::Result<v1::AwaitMountResponse> Admin::AwaitMount(const v1::AwaitMountRequest& request) {
  watch_->Nudge();
  v1::AwaitMountResponse response;
  if (request.timeout_ms() <= 0) return response;
  const base::Duration limit =
      std::min<base::Duration>(std::chrono::milliseconds(request.timeout_ms()), kMountLimit);
  const base::SteadyTime end = context_.env.Now() + limit;
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  const std::shared_ptr<ActiveCopy> copy = host_.WaitActive(record.id, limit);
  if (copy == nullptr) {
    return base::TimedOut(fmt::format("the copy of {} on {} did not become the active one in time",
                                      record.name, context_.server));
  }
  RETURN_IF_ERROR(copy->WaitMounted(end - context_.env.Now()));
  ASSIGN_OR_RETURN(const Mount mount, copy->mount());
  response.set_term(mount.term.value);
  SetPosition(mount.log->end().position, response.mutable_at());
  return response;
}

base::Result<v1::RelinquishResponse> Admin::Relinquish(const v1::RelinquishRequest& request) {
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(request.database());
  if (copy == nullptr) {
    return base::NotFound(
        fmt::format("server {} has no active copy of {}", context_.server, request.database()));
  }
  ASSIGN_OR_RETURN(const base::Position at,
                   copy->Relinquish(std::chrono::milliseconds(request.for_ms()), kRelinquishLimit));
  v1::RelinquishResponse response;
  SetPosition(at, response.mutable_at());
  return response;
}

// --- failover ---

base::Result<v1::FailoverResponse> Admin::Failover(const v1::FailoverRequest& request) {
  ASSIGN_OR_RETURN(const GroupView group, ReadGroup(context_));
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  if (!request.target().empty() && record.FindCopy(request.target()) == nullptr) {
    return base::NotFound(fmt::format("{} has no copy on {}", record.name, request.target()));
  }
  cluster::DatabaseView view = ViewOf(group, record);
  AskServers(context_, host_, {&view});
  cluster::Selection how;
  how.dial = record.dial;
  how.lease = context_.settings.Get().coordinator.lease;
  how.only = request.target();
  how.accept_any_state = !request.target().empty();
  how.accept_any_loss = request.accept_data_loss();
  const cluster::Choice choice = cluster::ChooseBestCopy(view, how);
  v1::FailoverResponse response = ToResponse(view, choice);
  response.set_need(cluster::NeedOf(view, group.group.paused).why);
  if (request.dry_run()) return response;
  if (view.active_alive) {
    return base::InvalidArgument(fmt::format(
        "server {0} of the active copy of {1} is alive: a failover could lose what it has\n"
        "understudy switchover {1} moves it without loss",
        record.active, record.name));
  }
  if (const base::Duration left = context_.promises.Left(record.active); left > base::Duration(0)) {
    return base::Busy(fmt::format(
        "{} goes on in failsafe mode: this server has promised not to take {} over for {:.1f} s "
        "more\ntry again after that; it is promised again only while that server asks for it",
        record.active, record.name, std::chrono::duration<double>(left).count()));
  }
  if (choice.target().empty()) {
    return base::Unavailable(fmt::format(
        "no copy of {} can be mounted: {}\n--to names one whatever its state, --accept-data-loss "
        "takes one whatever it lacks",
        record.name, cluster::Explain(choice)));
  }
  ASSIGN_OR_RETURN(const bool moved, context_.registry.FailOver(record, choice.target()));
  if (!moved) {
    return base::Busy(
        fmt::format("{0} was changed by somebody else, or {1} is alive again: look at "
                    "understudy status {0} and try again",
                    record.name, record.active));
  }
  watch_->Nudge();
  context_.events.Add(
      EventNumber::kFailover, Severity::kWarning, record.name,
      fmt::format("failover of {} from {} to {} by an administrator: {}", record.name,
                  record.active, choice.target(), cluster::Explain(choice)));
  response.set_done(true);
  v1::AwaitMountRequest await;
  await.set_database(record.name);
  await.set_timeout_ms(Millis(kMountLimit));
  if (choice.target() == context_.server) {
    RETURN_IF_ERROR(AwaitMount(await).status());
    return response;
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(choice.target()));
  RETURN_IF_ERROR(client->AwaitMount(await, kMountLimit + kForwardGrace).status());
  return response;
}

}  // namespace understudy::server
