// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/mutex.h"
#include "rpc/protocol.h"
#include "server/admin.h"
#include "server/ask_peers.h"

namespace understudy::server {
namespace {

using cluster::CopyRecord;
using cluster::CopyStatusRecord;
using cluster::DatabaseRecord;
using cluster::ServerRecord;

constexpr base::Duration kWaitSlice = std::chrono::milliseconds(200);
constexpr int64_t kWaitLimitMsMax = 24 * 3'600'000;

void SetPosition(const base::Position& from, v1::Position* to) {
  to->set_term(from.term.value);
  to->set_seq(from.seq.value);
}

// What a server that cannot be asked last said of its copy.
void FillFromLast(const CopyStatusRecord& last, bool alive, v1::CopyStatus& to) {
  SetPosition(last.copied, to.mutable_copied());
  SetPosition(last.durable, to.mutable_durable());
  SetPosition(last.replayed, to.mutable_replayed());
  to.set_copy_queue(last.copy_queue);
  to.set_observed_ms(last.observed.unix_ms);
  to.set_error(last.error);
  to.set_path(last.path);
  to.set_state(alive ? last.state : "ServiceDown");
}

uint64_t Behind(uint64_t ahead, uint64_t here) { return ahead > here ? ahead - here : 0; }

const v1::CopyStatus* FindAnswer(const std::vector<v1::StatusResponse>& answers,
                                 const std::string& id, const CopyRecord& of) {
  for (const v1::StatusResponse& answer : answers) {
    for (const v1::DatabaseStatus& database : answer.databases()) {
      if (database.id() != id) continue;
      for (const v1::CopyStatus& copy : database.copies()) {
        if (copy.server() == of.server && copy.incarnation() == of.incarnation) return &copy;
      }
    }
  }
  return nullptr;
}

base::Duration WaitLimit(const v1::WaitRequest& request) {
  if (request.timeout_ms() == 0) return rpc::kWaitTimeoutDefault;
  return std::chrono::milliseconds(request.timeout_ms());
}

base::Status NobodyToWaitFor(const DatabaseRecord& record) {
  if (record.copies.size() < 2) {
    return base::NotFound(
        fmt::format("{0} has no passive copy to wait for\nunderstudy copy add {0} SERVER adds one",
                    record.name));
  }
  return base::NotFound(
      fmt::format("every passive copy of {0} is suspended or lags, so none is waited for\nresume "
                  "one with understudy "
                  "copy resume {0} SERVER, or name those to wait for with --servers",
                  record.name));
}

// Queues as of one moment: against the active's end as we have just learnt it.
void SetQueues(v1::DatabaseStatus& database) {
  bool known = false;
  for (const v1::CopyStatus& copy : database.copies()) {
    if (copy.role() != "active") continue;
    *database.mutable_position() = copy.durable();
    known = copy.answered() && copy.state() == "Mounted";
  }
  // No copy is ahead of the active one, so what is known of that one may be old.
  for (const v1::CopyStatus& copy : database.copies()) {
    if (copy.durable().seq() > database.position().seq())
      *database.mutable_position() = copy.durable();
  }
  for (v1::CopyStatus& copy : *database.mutable_copies()) {
    if (copy.role() == "active") continue;
    copy.set_queues_known(known);
    copy.set_replay_queue(Behind(copy.durable().seq(), copy.replayed().seq()));
    copy.set_copy_queue(known ? Behind(database.position().seq(), copy.durable().seq())
                              : copy.copy_queue());
  }
}

}  // namespace

base::Result<v1::StatusResponse> Admin::LocalStatus(const v1::LocalStatusRequest& request) {
  v1::StatusResponse response;
  for (CopyHost::LocalStatus& local : host_.Statuses()) {
    if (!request.database().empty() && local.database != request.database()) continue;
    v1::DatabaseStatus* to = response.add_databases();
    to->set_name(local.database);
    to->set_id(local.id.ToHex());
    v1::CopyStatus& copy = *to->add_copies();
    copy = std::move(local.status);
    if (context_.seeds != nullptr) {
      for (const SeedSlots::Seed& seed : context_.seeds->given.seeds()) {
        if (seed.database != local.database) continue;
        v1::SeedGiven* const given = copy.add_seeds_given();
        given->set_server(seed.peer);
        given->set_running(seed.running);
      }
    }
    if (scrub_ != nullptr) *copy.mutable_scrub() = scrub_->Status(local.id);
  }
  if (const auto space = context_.env.FreeSpace(context_.settings.Get().server.data_dir);
      space.ok()) {
    response.set_disk_free(space->free);
    response.set_disk_total(space->total);
  }
  response.set_backups_running(backups_.running());
  if (context_.seeds != nullptr) {
    for (const SeedSlots::Seed& seed : context_.seeds->given.seeds()) {
      if (seed.running) response.set_seeds_given(response.seeds_given() + 1);
    }
  }
  response.set_mounted(host_.Mounted().size());
  return response;
}

base::Result<v1::DatabaseStatus> Admin::StatusOf(const DatabaseRecord& record,
                                                 const std::vector<v1::StatusResponse>& answers,
                                                 const std::vector<ServerRecord>& servers,
                                                 const std::vector<CopyStatusRecord>& last) {
  v1::DatabaseStatus status;
  status.set_name(record.name);
  status.set_id(record.id.ToHex());
  status.set_term(record.term.value);
  status.set_active(record.active);
  status.set_dial(std::string(cluster::MountDialName(record.dial)));
  status.set_dismounted(record.dismounted);
  status.set_circular_logging(record.circular_logging);
  status.set_archive_interval_s(
      static_cast<uint64_t>(record.archive_interval / std::chrono::seconds(1)));
  if (!record.backed_up.id.empty()) {
    status.set_backed_up(fmt::format("{} backup {} at {}", record.backed_up.type,
                                     record.backed_up.id, base::ToString(record.backed_up.at)));
  }
  for (const CopyRecord& copy : record.copies) {
    v1::CopyStatus& to = *status.add_copies();
    if (const v1::CopyStatus* answer = FindAnswer(answers, status.id(), copy)) {
      to = *answer;
      to.set_answered(true);
      to.set_preference(copy.preference);
      to.set_activation_suspended(copy.activation_suspended);
      continue;
    }
    to.set_replay_lag_ms(copy.replay_lag / std::chrono::milliseconds(1));
    to.set_preference(copy.preference);
    to.set_activation_suspended(copy.activation_suspended);
    const bool alive = std::any_of(servers.begin(), servers.end(), [&](const ServerRecord& server) {
      return server.name == copy.server && server.alive;
    });
    to.set_state(alive ? "Initializing" : "ServiceDown");
    for (const CopyStatusRecord& known : last) {
      if (known.database == record.name && known.server == copy.server &&
          known.incarnation == copy.incarnation) {
        FillFromLast(known, alive, to);
      }
    }
    to.set_server(copy.server);
    to.set_role(copy.server == record.active ? "active" : "passive");
    if (!copy.path.empty()) to.set_path(copy.path);
    to.set_suspend_reason(copy.suspend_reason);
  }
  for (const v1::CopyStatus& active : status.copies()) {
    for (const v1::Straggler& straggler : active.stragglers()) {
      for (v1::CopyStatus& copy : *status.mutable_copies()) {
        if (copy.server() == straggler.server()) copy.set_needs_resync(straggler.why());
      }
    }
  }
  SetQueues(status);
  return status;
}

base::Result<v1::StatusResponse> Admin::Status(const v1::StatusRequest& request) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(std::vector<DatabaseRecord> databases, group.Databases());
  if (!request.database().empty()) {
    RETURN_IF_ERROR(group.FindDatabase(request.database()).status());
    std::erase_if(databases, [&](const auto& d) { return d.name != request.database(); });
  }
  ASSIGN_OR_RETURN(const std::vector<ServerRecord> servers, group.Servers());
  ASSIGN_OR_RETURN(const std::vector<CopyStatusRecord> last, group.Statuses());

  v1::LocalStatusRequest local;
  local.set_database(request.database());
  std::vector<v1::StatusResponse> answers;
  std::set<std::string> others;
  for (const ServerRecord& server : servers) {
    const bool concerned = std::any_of(databases.begin(), databases.end(), [&](const auto& d) {
      return d.FindCopy(server.name) != nullptr;
    });
    if (!concerned || (!server.alive && server.name != context_.server)) continue;
    if (server.name == context_.server) {
      ASSIGN_OR_RETURN(v1::StatusResponse own, LocalStatus(local));
      answers.push_back(std::move(own));
      continue;
    }
    others.insert(server.name);
  }
  base::Mutex mutex;  // guards `answers`
  AskPeers(others, [&](const std::string& server) {
    // One that does not answer is told of from what it last published.
    const auto client = Dial(server);
    if (!client.ok()) return;
    base::Result<v1::StatusResponse> answer = (*client)->LocalStatus(local, kPeerAnswerLimit);
    base::MutexLock lock(mutex);
    if (answer.ok()) answers.push_back(std::move(answer).value());
  });
  v1::StatusResponse response;
  response.set_coordinator_silence_ms(group.silence_ms());
  for (const DatabaseRecord& database : databases) {
    ASSIGN_OR_RETURN(*response.add_databases(), StatusOf(database, answers, servers, last));
  }
  return response;
}

// --- wait ---

base::Result<v1::WaitResponse> Admin::Wait(const v1::WaitRequest& request,
                                           const rpc::CallContext& call) {
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  if (request.timeout_ms() < 0 || request.timeout_ms() > kWaitLimitMsMax) {
    return base::InvalidArgument(fmt::format("the timeout is {} ms, allowed are 0 to {}",
                                             request.timeout_ms(), kWaitLimitMsMax));
  }
  if (record.active != context_.server) {
    // Its own copy, and a position that is known: then the active need not be asked.
    const bool own =
        request.seq() > 0 && request.servers_size() == 1 && request.servers(0) == context_.server;
    const std::shared_ptr<PassiveCopy> passive = own ? host_.FindPassive(record.name) : nullptr;
    if (passive != nullptr) return WaitForOwn(*passive, request, call);
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(record.active));
    return client->Wait(request);
  }
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(record.id);
  if (copy == nullptr) {
    return base::Unavailable(fmt::format("the active copy of {} is not mounted yet", record.name));
  }
  return WaitHere(*copy, request, record, call);
}

base::Result<v1::WaitResponse> Admin::WaitForOwn(PassiveCopy& copy, const v1::WaitRequest& request,
                                                 const rpc::CallContext& call) {
  const bool durable = request.what() == v1::WaitRequest::DURABLE;
  const base::Duration limit = WaitLimit(request);
  const base::SteadyTime end = context_.env.Now() + limit;
  while (true) {
    const v1::CopyStatus status = copy.Status();
    const v1::Position& at = durable ? status.durable() : status.replayed();
    if (at.seq() >= request.seq()) {
      v1::WaitResponse response;
      *response.mutable_reached() = at;
      return response;
    }
    if (call.cancelled()) return base::Cancelled("nobody waits any more");
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) {
      return base::TimedOut(fmt::format(
          "the copy of {} on {} is {} at seq {}, not at {}, after {} ms: it is {}\nunderstudy "
          "status {} says more",
          copy.name(), context_.server, durable ? "durable" : "replayed", at.seq(), request.seq(),
          limit / std::chrono::milliseconds(1), status.state(), copy.name()));
    }
    copy.WaitStatus(std::min(left, kWaitSlice));
  }
}

base::Result<v1::WaitResponse> Admin::WaitHere(ActiveCopy& copy, const v1::WaitRequest& request,
                                               const DatabaseRecord& record,
                                               const rpc::CallContext& call) {
  std::set<std::string> servers(request.servers().begin(), request.servers().end());
  for (const std::string& server : servers) {
    if (record.FindCopy(server) == nullptr || server == record.active) {
      return base::NotFound(fmt::format("{} has no passive copy on {}", record.name, server));
    }
  }
  if (servers.empty()) {
    for (const CopyRecord& passive : record.copies) {
      // What a lagged copy holds back is not waited for unless it is named.
      const bool lags =
          passive.replay_lag > base::Duration(0) && request.what() == v1::WaitRequest::REPLAYED;
      if (passive.server == record.active || passive.suspended || lags) continue;
      servers.insert(passive.server);
    }
    if (servers.empty()) return NobodyToWaitFor(record);
  }
  const base::Duration limit = WaitLimit(request);
  const base::SteadyTime end = context_.env.Now() + limit;
  base::Position target{record.term, base::Seq(request.seq())};
  if (request.seq() == 0) {
    // Everything committed before this call: capture is made to look now. It may be in the middle
    // of a commit as large as the database.
    ASSIGN_OR_RETURN(target, copy.tasks().Call<base::Position>(
                                 [](capture::Capture& capture) -> base::Result<base::Position> {
                                   RETURN_IF_ERROR(capture.CatchUp());
                                   return capture.captured().position;
                                 },
                                 limit));
  }
  while (true) {
    const std::map<std::string, PeerProgress> progress = copy.peer_progress();
    std::vector<std::string> behind;
    for (const std::string& server : servers) {
      const auto found = progress.find(server);
      const PeerProgress have = found == progress.end() ? PeerProgress() : found->second;
      const base::Seq at =
          request.what() == v1::WaitRequest::DURABLE ? have.durable.seq : have.replayed.seq;
      if (at >= target.seq) continue;
      behind.push_back(
          fmt::format("{} at {}{}", server, at.value, have.connected ? "" : ", not connected"));
    }
    if (behind.empty()) break;
    if (call.cancelled()) return base::Cancelled("nobody waits any more");
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) {
      return base::TimedOut(fmt::format(
          "{} is not {} everywhere at seq {} after {} ms: {}\nunderstudy status {} says "
          "what the copies are doing",
          record.name, request.what() == v1::WaitRequest::DURABLE ? "durable" : "replayed",
          target.seq.value, limit / std::chrono::milliseconds(1), fmt::join(behind, "; "),
          record.name));
    }
    copy.WaitPeerProgress(std::min(left, kWaitSlice));
  }
  v1::WaitResponse response;
  SetPosition(target, response.mutable_reached());
  return response;
}

// --- events ---

namespace {

bool IsAskedFor(const v1::EventsRequest& request, const cluster::Event& event) {
  if (!request.database().empty() && event.database != request.database()) return false;
  const auto& numbers = request.numbers();
  return numbers.empty() || std::find(numbers.begin(), numbers.end(),
                                      static_cast<uint32_t>(event.number)) != numbers.end();
}

v1::Event ToProto(const cluster::Event& event) {
  v1::Event to;
  to.set_id(event.id);
  to.set_time_ms(event.time.unix_ms);
  to.set_number(static_cast<uint32_t>(event.number));
  to.set_severity(std::string(SeverityName(event.severity)));
  to.set_server(event.server);
  to.set_database(event.database);
  to.set_message(event.message);
  return to;
}

}  // namespace

base::Status Admin::Events(const v1::EventsRequest& request, const rpc::CallContext& call,
                           const Sender<v1::Event>& send) {
  uint64_t after = request.after_id();
  size_t limit = request.limit() > 0 ? request.limit() : cluster::kEventsKept;
  while (true) {
    const uint64_t seen = watch_->events_changed().count();
    ASSIGN_OR_RETURN(std::vector<cluster::Event> events,
                     context_.registry.Events(after, cluster::kEventsKept));
    if (!events.empty()) after = events.back().id;
    std::erase_if(events, [&](const auto& event) { return !IsAskedFor(request, event); });
    // The newest of those that were asked for.
    const size_t first = events.size() - std::min(events.size(), limit);
    for (size_t i = first; i < events.size(); ++i) {
      if (!send(ToProto(events[i]))) return base::Cancelled("the client went away");
    }
    if (!request.follow()) return {};
    limit = cluster::kEventsKept;
    while (watch_->events_changed().count() == seen) {
      if (call.cancelled()) return base::Cancelled("the client went away");
      watch_->events_changed().WaitFor(seen, kWaitSlice);
    }
  }
}

}  // namespace understudy::server
