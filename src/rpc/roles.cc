// SPDX-License-Identifier: Apache-2.0
#include "rpc/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tls/client_role.h"

namespace understudy::rpc {
namespace {

constexpr CallRole kCalls[] = {
    // States and events: no content of a database, nothing of a daemon's files.
    {"/understudy.v1.Admin/Hello", Need::kViewer},
    {"/understudy.v1.Admin/ListServers", Need::kViewer},
    {"/understudy.v1.Admin/ListDatabases", Need::kViewer},
    {"/understudy.v1.Admin/Status", Need::kViewer},
    {"/understudy.v1.Admin/LocalStatus", Need::kViewer},
    {"/understudy.v1.Admin/Health", Need::kViewer},
    {"/understudy.v1.Admin/Wait", Need::kViewer},
    {"/understudy.v1.Admin/Events", Need::kViewer},
    {"/understudy.v1.Admin/ListLost", Need::kViewer},
    {"/understudy.v1.Admin/ListRecoveries", Need::kViewer},
    {"/understudy.v1.Admin/BackupStatus", Need::kViewer},
    {"/understudy.v1.Admin/Writers", Need::kViewer},
    {"/understudy.v1.Admin/Holds", Need::kViewer},
    {"/understudy.v1.Admin/ExplainBackup", Need::kViewer},
    {"/understudy.v1.Admin/GetSettings", Need::kViewer},
    {"/understudy.v1.Admin/ListRepositories", Need::kViewer},
    {"/understudy.v1.Admin/ListSchedules", Need::kViewer},
    // They make a daemon read a place that the caller names, or show rows.
    {"/understudy.v1.Admin/ListBackups", Need::kOperator},
    {"/understudy.v1.Admin/ShowBackup", Need::kOperator},
    {"/understudy.v1.Admin/VerifyBackup", Need::kOperator},
    {"/understudy.v1.Admin/DrillBackup", Need::kOperator, true},
    {"/understudy.v1.Admin/CheckRepository", Need::kOperator},
    {"/understudy.v1.Admin/DiagnoseNetwork", Need::kOperator},
    {"/understudy.v1.Admin/ShowLost", Need::kOperator},
    {"/understudy.v1.Admin/DiffRecovery", Need::kOperator},
    {"/understudy.v1.Admin/SupportFacts", Need::kOperator},
    // The day's work.
    {"/understudy.v1.Admin/Switchover", Need::kOperator, true},
    {"/understudy.v1.Admin/Failover", Need::kOperator, true},
    {"/understudy.v1.Admin/Rebalance", Need::kOperator, true},
    {"/understudy.v1.Admin/Maintenance", Need::kOperator, true},
    {"/understudy.v1.Admin/SetGroup", Need::kOperator, true},
    {"/understudy.v1.Admin/SuspendCopy", Need::kOperator, true},
    {"/understudy.v1.Admin/ResumeCopy", Need::kOperator, true},
    {"/understudy.v1.Admin/ReseedCopy", Need::kOperator, true},
    {"/understudy.v1.Admin/PlayDownCopy", Need::kOperator, true},
    {"/understudy.v1.Admin/Scrub", Need::kOperator, true},
    {"/understudy.v1.Admin/RunBackup", Need::kOperator, true},
    {"/understudy.v1.Admin/BeginBackup", Need::kOperator, true},
    {"/understudy.v1.Admin/EndBackup", Need::kOperator, true},
    {"/understudy.v1.Admin/KeepBackup", Need::kOperator, true},
    {"/understudy.v1.Admin/RunSchedule", Need::kOperator, true},
    // What the group is, and what databases have in them.
    {"/understudy.v1.Admin/AddDatabase", Need::kAdmin, true},
    {"/understudy.v1.Admin/RemoveDatabase", Need::kAdmin, true},
    {"/understudy.v1.Admin/SetDatabase", Need::kAdmin, true},
    {"/understudy.v1.Admin/AddCopy", Need::kAdmin, true},
    {"/understudy.v1.Admin/PrepareCopy", Need::kAdmin, true},
    {"/understudy.v1.Admin/RemoveCopy", Need::kAdmin, true},
    {"/understudy.v1.Admin/SetCopy", Need::kAdmin, true},
    {"/understudy.v1.Admin/SetSetting", Need::kAdmin, true},
    {"/understudy.v1.Admin/PruneBackups", Need::kAdmin, true},
    {"/understudy.v1.Admin/AddRepository", Need::kAdmin, true},
    {"/understudy.v1.Admin/SetRepository", Need::kAdmin, true},
    {"/understudy.v1.Admin/RemoveRepository", Need::kAdmin, true},
    {"/understudy.v1.Admin/AddSchedule", Need::kAdmin, true},
    {"/understudy.v1.Admin/SetSchedule", Need::kAdmin, true},
    {"/understudy.v1.Admin/RemoveSchedule", Need::kAdmin, true},
    {"/understudy.v1.Admin/ActivateCopy", Need::kAdmin, true},
    {"/understudy.v1.Admin/RestoreInPlace", Need::kAdmin, true},
    {"/understudy.v1.Admin/CreateRecovery", Need::kAdmin, true},
    {"/understudy.v1.Admin/RemoveRecovery", Need::kAdmin, true},
    {"/understudy.v1.Admin/ExportLost", Need::kAdmin, true},
    {"/understudy.v1.Admin/RemoveLost", Need::kAdmin, true},
    // Everybody renews the own certificate; others are for an admin: the backend looks.
    {"/understudy.v1.Membership/Sign", Need::kViewer, true},
    {"/understudy.v1.Membership/ListCertificates", Need::kViewer},
    {"/understudy.v1.Membership/MakeToken", Need::kAdmin, true},
    {"/understudy.v1.Membership/RemoveServer", Need::kAdmin, true},
    {"/understudy.v1.Membership/RevokeClient", Need::kAdmin, true},
    // Between servers.
    {"/understudy.v1.Admin/Relinquish", Need::kServer},
    {"/understudy.v1.Admin/AwaitMount", Need::kServer},
    {"/understudy.v1.Admin/Confirm", Need::kServer},
    {"/understudy.v1.Admin/AnnounceBackup", Need::kServer},
    {"/understudy.v1.Admin/Probe", Need::kServer},
    {"/understudy.v1.Admin/FetchPage", Need::kServer},
    {"/understudy.v1.Admin/FetchGeneration", Need::kServer},
    {"/understudy.v1.Replication/Connect", Need::kServer},
};

base::Role RoleFor(Need need) {
  if (need == Need::kViewer) return base::Role::kViewer;
  return need == Need::kOperator ? base::Role::kOperator : base::Role::kAdmin;
}

}  // namespace

std::span<const CallRole> CallRoles() { return kCalls; }

const CallRole* FindCall(std::string_view path) {
  const auto* const found = std::find_if(std::begin(kCalls), std::end(kCalls),
                                         [&](const CallRole& call) { return call.path == path; });
  return found == std::end(kCalls) ? nullptr : found;
}

base::Status CheckRole(const tls::Certificate& holder, base::Role role, std::string_view path) {
  if (holder.kind == tls::Kind::kServer) return {};
  const CallRole* const call = FindCall(path);
  if (call == nullptr) return base::Fenced(fmt::format("there is no call {}", path.substr(0, 100)));
  if (call->need == Need::kServer) {
    return base::Fenced(fmt::format("{} is no server, and may not call {}", holder.Holder(), path));
  }
  const base::Role needed = RoleFor(call->need);
  if (base::Includes(role, needed)) return {};
  return base::Fenced(fmt::format(
      "{} has the role {}, and {} needs {}; an admin gives another: understudy client certificate "
      "{} --role {}",
      holder.Holder(), base::RoleName(role), path.substr(path.rfind('/') + 1),
      base::RoleName(needed), holder.name, base::RoleName(needed)));
}

base::Status DecideRole(const Caller& caller, base::Role role, v1::SignRequest& order) {
  std::optional<base::Role> asked;
  for (const std::string& host : order.hosts()) {
    ASSIGN_OR_RETURN(const std::optional<base::Role> found, tls::RoleOfHost(host));
    if (found) asked = found;
  }
  // A server passes on what one has decided, or has all rights itself.
  if (order.kind() != tls::KindName(tls::Kind::kClient) || !caller.certificate ||
      caller.certificate->kind == tls::Kind::kServer) {
    return {};
  }
  const bool own = caller.certificate->name == order.name();
  const bool same = own && (!asked || *asked == role);
  if (!same && role != base::Role::kAdmin) {
    return base::Fenced(
        fmt::format("{} has the role {}, and a certificate for somebody else, or with another "
                    "role, needs admin",
                    caller.certificate->Holder(), base::RoleName(role)));
  }
  order.clear_hosts();
  order.add_hosts(tls::RoleHost(same ? role : asked.value_or(base::Role::kAdmin)));
  return {};
}

}  // namespace understudy::rpc
