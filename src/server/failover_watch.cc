// SPDX-License-Identifier: Apache-2.0
#include "server/failover_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kLookInterval = std::chrono::seconds(1);
// How long a copy that is Failed stays away from being mounted again while another one is chosen.
constexpr base::Duration kRelinquishFor = std::chrono::seconds(30);

}  // namespace

FailoverWatch::FailoverWatch(const ServerContext& context, CopyHost& host, ClusterWatch& watch)
    : context_(context), host_(host), watch_(watch) {
  thread_ = base::Thread([this] { Run(); });
}

FailoverWatch::~FailoverWatch() { Stop(); }

void FailoverWatch::Stop() {
  {
    base::MutexLock lock(mutex_);
    if (stop_) return;
    stop_ = true;
  }
  watch_.group_changed().Notify();
  thread_.Join();
}

bool FailoverWatch::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void FailoverWatch::Run() {
  base::NameThisThread("manager");
  while (!stopping()) {
    const uint64_t seen = watch_.group_changed().count();
    const base::Status status = Look(context_.env.Now());
    // The cluster thread tells of a coordinator that does not answer.
    if (!status.ok() && status.code() != base::Code::kUnavailable &&
        status.message() != last_error_) {
      base::Diag(base::DiagLevel::kError, "manager", "could not look after the group",
                 {{"why", status.ToString()}});
    }
    last_error_ = status.message();
    if (!stopping()) watch_.group_changed().WaitFor(seen, kLookInterval);
  }
}

base::Status FailoverWatch::Look(base::SteadyTime now) {
  const cluster::LeaseId lease = watch_.lease();
  if (lease == 0 || !context_.authority.Valid()) return {};
  ASSIGN_OR_RETURN(const std::string manager,
                   context_.registry.ElectManager(context_.server, lease));
  if (manager != context_.server) {
    alive_.clear();
    failed_since_.clear();
    return {};
  }
  ASSIGN_OR_RETURN(const GroupView group, ReadGroup(context_));
  ReportLostServers(group);
  std::vector<std::pair<cluster::DatabaseView, cluster::Need>> needy;
  for (const cluster::DatabaseRecord& database : group.databases) {
    cluster::DatabaseView view = ViewOf(group, database);
    view.active_failed_for = FailedFor(group, database, now);
    cluster::Need need = cluster::NeedOf(view, group.group.paused);
    if (need.what == cluster::Need::What::kNothing) {
      if (!need.why.empty()) ReportImpossible(database, need.why);
      if (need.why.empty()) told_.erase(database.name);
      continue;
    }
    const base::Duration promised = context_.promises.Left(database.active);
    if (need.what == cluster::Need::What::kFailover && promised > base::Duration(0)) {
      ReportImpossible(database, need.why +
                                     ", but it goes on in failsafe mode: all servers have "
                                     "promised it not to take over");
      continue;
    }
    needy.emplace_back(std::move(view), std::move(need));
  }
  if (needy.empty()) return {};
  std::vector<cluster::DatabaseView*> views;
  views.reserve(needy.size());
  for (auto& [view, need] : needy) views.push_back(&view);
  AskServers(context_, host_, views);
  base::Status first;
  for (const auto& [view, need] : needy) {
    const base::Status status = Act(view, need, now);
    if (first.ok()) first = status;
  }
  return first;
}

void FailoverWatch::ReportLostServers(const GroupView& group) {
  for (const cluster::ServerRecord& server : group.servers) {
    bool& was_alive = alive_[server.name];
    if (was_alive && !server.alive) {
      context_.events.Add(EventNumber::kServerLost, Severity::kWarning, "",
                          fmt::format("server {} has no lease any more: its daemon or machine has "
                                      "stopped, or it does not reach the coordinator",
                                      server.name));
    }
    was_alive = server.alive;
  }
}

base::Duration FailoverWatch::FailedFor(const GroupView& group,
                                        const cluster::DatabaseRecord& database,
                                        base::SteadyTime now) {
  const cluster::CopyStatusRecord* const status = group.StatusOf(database, database.active);
  // One that is being tried again, and may take long over it (a hook), has not recovered.
  const bool failed =
      status != nullptr &&
      (status->state == "Failed" || (status->state == "Mounting" && !status->error.empty()));
  if (!failed) {
    failed_since_.erase(database.name);
    return {};
  }
  const auto [since, is_new] = failed_since_.emplace(database.name, now);
  return now - since->second;
}

base::Status FailoverWatch::Act(const cluster::DatabaseView& view, const cluster::Need& need,
                                base::SteadyTime now) {
  const cluster::DatabaseRecord& record = view.record;
  auto& tried = tried_[record.name];
  std::erase_if(tried,
                [&](const auto& copy) { return now - copy.second > cluster::kTriedCopyRest; });
  cluster::Selection how;
  how.dial = record.dial;
  how.lease = context_.settings.Get().coordinator.lease;
  for (const auto& [server, time] : tried) how.rested.insert(server);
  const cluster::Choice choice = cluster::ChooseBestCopy(view, how);
  const std::string target = choice.target();
  if (target.empty()) {
    ReportImpossible(record, fmt::format("{}, and no other copy can be mounted: {}", need.why,
                                         cluster::Explain(choice)));
    return {};
  }
  const bool give_up = need.what == cluster::Need::What::kGiveUpMount;
  if (give_up) {
    RETURN_IF_ERROR(Relinquish(record));
    tried[record.active] = now;
  }
  ASSIGN_OR_RETURN(const bool moved, give_up ? context_.registry.GiveUpMount(record, target)
                                             : context_.registry.FailOver(record, target));
  if (!moved) return {};  // something has changed: the next look sees it
  failed_since_.erase(record.name);
  told_.erase(record.name);
  watch_.Nudge();
  context_.events.Add(EventNumber::kFailover, Severity::kWarning, record.name,
                      fmt::format("failover of {} from {} to {}: {}. {}", record.name,
                                  record.active, target, need.why, cluster::Explain(choice)));
  // It finds out by itself within a tick; told, it begins at once.
  if (target == context_.server) return {};
  const auto client = DialServer(context_, target);
  if (!client.ok()) return {};
  v1::AwaitMountRequest await;
  await.set_database(record.name);
  await.set_timeout_ms(0);
  (*client)->AwaitMount(await, kPeerAnswerLimit).status().IgnoreError();
  return {};
}

base::Status FailoverWatch::Relinquish(const cluster::DatabaseRecord& record) {
  ASSIGN_OR_RETURN(const auto client, DialServer(context_, record.active));
  v1::RelinquishRequest request;
  request.set_database(record.name);
  request.set_for_ms(kRelinquishFor / std::chrono::milliseconds(1));
  return client->Relinquish(request).status();
}

void FailoverWatch::ReportImpossible(const cluster::DatabaseRecord& record,
                                     const std::string& why) {
  // Numbers in it change all the time: told again only when the first part does.
  const std::string gist = why.substr(0, why.find(':'));
  std::string& told = told_[record.name];
  if (told == gist) return;
  told = gist;
  context_.events.Add(
      EventNumber::kFailoverImpossible, Severity::kError, record.name,
      fmt::format("no failover of {}: {}\n'understudy failover explain {}' tells more", record.name,
                  why, record.name));
}

}  // namespace understudy::server
