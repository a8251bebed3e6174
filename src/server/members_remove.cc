// SPDX-License-Identifier: Apache-2.0
// How a server is taken out of the group.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/mutex.h"
#include "server/group_tls.h"
#include "server/members.h"

namespace understudy::server {

using cluster::DatabaseRecord;
using cluster::EventNumber;
using cluster::Severity;

namespace {

// A server that runs sees that it was removed within a moment, and ends its lease.
constexpr base::Duration kLeaveLimit = std::chrono::seconds(20);
// etcd removes nobody before the others have been there for 5 s in a row (its HealthInterval).
constexpr base::Duration kEtcdLimit = std::chrono::seconds(15);
constexpr base::Duration kLook = std::chrono::milliseconds(100);

}  // namespace

base::Result<v1::RemoveServerResponse> Members::RemoveServer(const v1::RemoveServerRequest& request,
                                                             const rpc::Caller& caller) {
  const std::string& name = request.server();
  v1::RemoveServerResponse response;
  RETURN_IF_ERROR(CheckRemovable(name, request.force(), response));
  ASSIGN_OR_RETURN(const size_t revoked, membership_.Revoke("server", name));
  response.set_certificates(revoked);
  if (request.force()) RETURN_IF_ERROR(WaitGone(name));
  RETURN_IF_ERROR(TakeOutCopies(name, response));
  if (etcd_ != nullptr) {
    const base::Result<bool> left = RemoveEtcdMember(name);
    response.set_etcd(!left.ok()
                          ? "its etcd member could not be removed: " + left.status().message()
                      : *left ? "its etcd member was removed"
                              : "");
  }
  RETURN_IF_ERROR(membership_.ForgetServer(name));
  const std::string who = caller.certificate ? caller.certificate->Holder() : "an administrator";
  context_.events.Add(EventNumber::kServerRemoved, Severity::kWarning, "",
                      fmt::format("{} removed server {} from the group; {} certificates were "
                                  "revoked",
                                  who, name, revoked));
  return response;
}

base::Result<bool> Members::RemoveEtcdMember(const std::string& server) {
  const base::SteadyTime end = context_.env.Now() + kEtcdLimit;
  base::Mutex mutex;
  base::CondVar nothing;
  while (true) {
    base::Result<bool> left = etcd_->Remove(server);
    if (left.status().code() != base::Code::kBusy || context_.env.Now() >= end) return left;
    base::MutexLock lock(mutex);
    nothing.WaitFor(mutex, kLook);
  }
}

base::Status Members::CheckRemovable(const std::string& server, bool force,
                                     v1::RemoveServerResponse& to) {
  ASSIGN_OR_RETURN(const cluster::ServerRecord record, context_.registry.FindServer(server));
  if (server == context_.server) {
    return base::InvalidArgument(
        fmt::format("server {} does not remove itself\nask another one: --server", server));
  }
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, context_.registry.Databases());
  std::vector<std::string> active;
  std::vector<std::string> passive;
  for (const DatabaseRecord& database : databases) {
    if (database.FindCopy(server) == nullptr) continue;
    (database.active == server ? active : passive).push_back(database.name);
  }
  if (!active.empty()) {
    return base::Busy(fmt::format(
        "server {} has the active copy of {}\nmove it first: understudy switchover, or failover "
        "run where {} is down",
        server, fmt::join(active, ", "), server));
  }
  if (!passive.empty() && !force) {
    return base::Busy(fmt::format(
        "server {} has copies of {}\nremove them first (understudy copy remove DATABASE {}), or "
        "let --force do it",
        server, fmt::join(passive, ", "), server));
  }
  if (record.alive && (!force || context_.tls == nullptr)) {
    return base::Busy(fmt::format("server {} is running\nstop understudyd there first{}", server,
                                  context_.tls == nullptr
                                      ? ": without TLS nothing keeps it from coming back"
                                      : ", or let --force send it away"));
  }
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, context_.registry.Servers());
  const auto signing = std::count_if(servers.begin(), servers.end(),
                                     [](const auto& each) { return each.authority; });
  if (record.authority && signing == 1 && !force) {
    return base::Busy(fmt::format(
        "server {} is the only one that has the authority's key\nlet another one join with "
        "understudy server token --authority first; --force goes on without",
        server));
  }
  for (const std::string& name : passive) to.add_databases(name);
  return {};
}

base::Status Members::TakeOutCopies(const std::string& server, v1::RemoveServerResponse& to) {
  for (const std::string& name : to.databases()) {
    const auto edit = [&](DatabaseRecord& record) -> base::Status {
      if (record.active == server) {
        return base::Busy(
            fmt::format("the copy of {} on {} has become the active one: try again", name, server));
      }
      std::erase_if(record.copies, [&](const auto& copy) { return copy.server == server; });
      return {};
    };
    RETURN_IF_ERROR(context_.registry.UpdateDatabase(name, edit).status());
  }
  return {};
}

// Or for its lease's end: then it cannot announce itself any more, or is far from everything.
base::Status Members::WaitGone(const std::string& server) {
  const base::SteadyTime end = context_.env.Now() + kLeaveLimit;
  base::Mutex mutex;
  base::CondVar nothing;
  while (context_.env.Now() < end) {
    ASSIGN_OR_RETURN(const cluster::ServerRecord record, context_.registry.FindServer(server));
    if (!record.alive) return {};
    base::MutexLock lock(mutex);
    nothing.WaitFor(mutex, kLook);
  }
  return base::TimedOut(fmt::format(
      "server {} keeps its lease {} s after its certificates were revoked: its version is old, or "
      "it reaches the coordinator and nothing else\nstop understudyd there, and try again",
      server, kLeaveLimit / std::chrono::seconds(1)));
}

}  // namespace understudy::server
