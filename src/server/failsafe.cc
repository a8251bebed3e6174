// SPDX-License-Identifier: Apache-2.0
#include "server/failsafe.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "base/thread.h"
#include "base/thread_name.h"
#include "server/ask_peers.h"
#include "server/group_view.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kLookInterval = std::chrono::milliseconds(100);
// Shorter than other questions: there must be time to ask again before the lease ends.
constexpr base::Duration kConfirmConnectLimit = std::chrono::milliseconds(700);
constexpr base::Duration kConfirmLimit = std::chrono::seconds(1);

// A lease is renewed when two thirds of it are left.
base::Duration AskWhenLeft(base::Duration lease) { return lease * 3 / 5; }

// Why it cannot be confirmed; empty: it can.
std::string WhyNot(const CopyHost& host, const web::GroupView* group,
                   const v1::ConfirmRequest& request) {
  if (group == nullptr) return "it has not read the registry since it started";
  if (!group->failsafe) return "failsafe mode is off, as far as it knows";
  if (request.for_ms() <= 0 || request.for_ms() > kPromiseMax / std::chrono::milliseconds(1)) {
    return fmt::format("a promise for {} ms was asked for; at most {} s are given",
                       request.for_ms(), kPromiseMax / std::chrono::seconds(1));
  }
  for (const v1::ConfirmRequest::Database& database : request.databases()) {
    const cluster::DatabaseRecord* const record = group->FindDatabase(database.name());
    if (record == nullptr || record->id.ToHex() != database.id()) {
      return fmt::format("it does not know that {}", database.name());
    }
    if (record->active != request.server()) {
      return fmt::format("the active copy of {} is on {} by the registry", database.name(),
                         record->active);
    }
    if (record->term.value > database.term()) {
      return fmt::format("{} is in term {} by the registry, not in {}", database.name(),
                         record->term.value, database.term());
    }
    if (host.FindActive(record->id) != nullptr) {
      return fmt::format("its own copy of {} is an active one", database.name());
    }
  }
  return "";
}

}  // namespace

v1::ConfirmResponse AnswerConfirm(const ServerContext& context, const CopyHost& host,
                                  const GroupCache& cache, const v1::ConfirmRequest& request) {
  const base::SteadyTime now = context.env.Now();
  v1::ConfirmResponse response;
  response.set_why(WhyNot(host, cache.Get().get(), request));
  response.set_confirmed(response.why().empty());
  if (response.confirmed()) {
    context.promises.Promise(request.server(), now + std::chrono::milliseconds(request.for_ms()));
  }
  return response;
}

Failsafe::Failsafe(const ServerContext& context, const CopyHost& host, const GroupCache& cache)
    : context_(context), host_(host), cache_(cache) {
  thread_ = base::Thread([this] { Run(); });
}

Failsafe::~Failsafe() { Stop(); }

void Failsafe::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
}

void Failsafe::Run() {
  base::NameThisThread("failsafe");
  while (true) {
    Look(context_.env.Now());
    base::MutexLock lock(mutex_);
    if (stop_) return;
    changed_.WaitFor(mutex_, kLookInterval);
    if (stop_) return;
  }
}

void Failsafe::Look(base::SteadyTime now) {
  const std::shared_ptr<const web::GroupView> group = cache_.Get();
  const base::Duration ahead = AskWhenLeft(context_.settings.Get().coordinator.lease);
  if (context_.authority.lease_until() - now > ahead) return Left();
  if (group == nullptr || !group->failsafe) return;
  // Confirmed a moment ago; or over: what is dismounted is mounted again with a lease only.
  const base::Duration left = context_.authority.until() - now;
  if (left > ahead || left <= base::Duration(0)) return;
  std::map<std::string, std::string> others;
  for (const cluster::ServerRecord& server : group->servers) {
    if (server.name != context_.server) others[server.name] = server.address;
  }
  Ask(now, others);
}

void Failsafe::Left() {
  told_refusal_.clear();
  if (!entered_) return;
  entered_ = false;
  context_.events.Add(EventNumber::kFailsafeLeft, Severity::kInfo, "",
                      fmt::format("server {} has its lease in the coordinator again and leaves "
                                  "failsafe mode",
                                  context_.server));
}

void Failsafe::Ask(base::SteadyTime now, const std::map<std::string, std::string>& others) {
  v1::ConfirmRequest request;
  const base::Duration lease = context_.settings.Get().coordinator.lease;
  request.set_server(context_.server);
  request.set_for_ms(lease / std::chrono::milliseconds(1));
  for (const CopyHost::MountedCopy& copy : host_.Mounted()) {
    v1::ConfirmRequest::Database* const to = request.add_databases();
    to->set_name(copy.name);
    to->set_id(copy.id.ToHex());
    to->set_term(copy.term.value);
  }
  if (request.databases().empty()) return;  // nothing to go on with
  base::Mutex mutex;
  std::map<std::string, std::string> refusals;
  const auto ask = [&](const std::string& server) -> base::Result<v1::ConfirmResponse> {
    ASSIGN_OR_RETURN(const auto client,
                     DialServerAt(context_, server, others.at(server), kConfirmConnectLimit));
    return client->Confirm(request, kConfirmLimit);
  };
  std::set<std::string> names;
  for (const auto& [name, address] : others) names.insert(name);
  AskPeers(names, [&](const std::string& server) {
    const base::Result<v1::ConfirmResponse> answer = ask(server);
    if (answer.ok() && answer->confirmed()) return;
    base::MutexLock lock(mutex);
    refusals[server] = answer.ok() ? answer->why() : answer.status().message();
  });
  if (!refusals.empty()) {
    const auto& [server, why] = *refusals.begin();
    if (std::exchange(told_refusal_, server) == server) return;
    context_.events.Add(
        EventNumber::kFailsafeRefused, Severity::kError, "",
        fmt::format("server {} does not reach the coordinator, and {} of {} servers do not confirm "
                    "that it goes on in failsafe mode: {}: {}\nits active copies are dismounted "
                    "when the lease ends (coordinator.lease)",
                    context_.server, refusals.size(), others.size(), server, why));
    return;
  }
  context_.authority.Confirm(now + lease);
  told_refusal_.clear();
  if (std::exchange(entered_, true)) return;
  context_.events.Add(
      EventNumber::kFailsafeEntered, Severity::kWarning, "",
      fmt::format("server {} does not reach the coordinator and goes on in failsafe "
                  "mode: all {} other servers confirm it",
                  context_.server, others.size()));
}

}  // namespace understudy::server
