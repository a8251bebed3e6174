// SPDX-License-Identifier: Apache-2.0
// What the group went on without, wherever it is.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/first_line.h"
#include "server/admin.h"
#include "server/lost_view.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kCompareLimit = std::chrono::seconds(20);
// Of a forwarded ShowLost: the comparison, and reading the records.
constexpr base::Duration kShowLimit = std::chrono::seconds(60);
constexpr base::Duration kRemoveLimit = std::chrono::seconds(60);
constexpr uint32_t kRecordsMax = 10000;
constexpr uint32_t kRowsMax = 1000;

// The states in which a copy's database is that of one position.
bool IsWhole(const v1::CopyStatus& copy) {
  constexpr std::array<std::string_view, 5> kStates = {"Mounted", "Dismounted", "Healthy",
                                                       "DisconnectedAndHealthy", "Suspended"};
  return !copy.reseeding() &&
         std::find(kStates.begin(), kStates.end(), copy.state()) != kStates.end();
}

}  // namespace

// --- where it is ---

base::Result<v1::ListLostResponse> Admin::ListLost(const v1::ListLostRequest& request) {
  std::vector<v1::LostBundle> found;
  v1::ListLostResponse response;
  ASSIGN_OR_RETURN(const std::vector<LostBundle> here,
                   server::ListLost(context_.env, host_.data_dir()));
  for (const LostBundle& bundle : here) found.push_back(LostToProto(bundle, context_.server));
  if (!request.local()) {
    ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, context_.registry.Servers());
    v1::ListLostRequest local = request;
    local.set_local(true);
    for (const cluster::ServerRecord& server : servers) {
      if (server.name == context_.server) continue;
      base::Result<v1::ListLostResponse> answer = base::Unavailable("it is down");
      if (server.alive) {
        const auto client = Dial(server.name);
        answer = client.ok() ? (*client)->ListLost(local, kPeerAnswerLimit)
                             : base::Result<v1::ListLostResponse>(client.status());
      }
      if (answer.ok()) {
        found.insert(found.end(), answer->bundles().begin(), answer->bundles().end());
        response.set_left_out(response.left_out() + answer->left_out());
      } else {
        v1::SilentServer* const silent = response.add_silent();
        silent->set_server(server.name);
        silent->set_why(base::FirstLine(answer.status().message()));
      }
    }
  }
  std::erase_if(found, [&](const v1::LostBundle& bundle) {
    return !request.database().empty() && bundle.database() != request.database();
  });
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.id(), a.server()) < std::pair(b.id(), b.server());
  });
  for (const v1::LostBundle& bundle : found) {
    if (static_cast<size_t>(response.bundles_size()) == kLostBundlesMax) break;
    *response.add_bundles() = bundle;
  }
  response.set_left_out(response.left_out() + found.size() -
                        static_cast<size_t>(response.bundles_size()));
  return response;
}

base::Result<std::string> Admin::ServerOfLost(const v1::LostName& name) {
  if (!IsLostId(name.id())) {
    return base::InvalidArgument(fmt::format(
        "\"{}\" is not the id of lost log\n'understudy lost list' shows what there is", name.id()));
  }
  if (!name.server().empty()) return name.server();
  ASSIGN_OR_RETURN(const v1::ListLostResponse all, ListLost(v1::ListLostRequest()));
  ASSIGN_OR_RETURN(const v1::LostBundle found, ChooseLost(all, name));
  return found.server();
}

base::Result<LostBundle> Admin::LostHere(const v1::LostName& name) {
  ASSIGN_OR_RETURN(std::vector<LostBundle> here, server::ListLost(context_.env, host_.data_dir()));
  v1::ListLostResponse all;
  for (const LostBundle& bundle : here) *all.add_bundles() = LostToProto(bundle, context_.server);
  ASSIGN_OR_RETURN(const v1::LostBundle chosen, ChooseLost(all, name));
  for (LostBundle& bundle : here) {
    if (bundle.directory == chosen.directory()) return std::move(bundle);
  }
  return base::Internal("a bundle was lost on the way");
}

// --- what is in it ---

base::Result<v1::ShowLostResponse> Admin::ShowLost(const v1::ShowLostRequest& request) {
  ASSIGN_OR_RETURN(const std::string server, ServerOfLost(request.name()));
  if (server != context_.server) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(server));
    v1::ShowLostRequest forward = request;
    forward.mutable_name()->set_server(server);
    return client->ShowLost(forward, kShowLimit);
  }
  ASSIGN_OR_RETURN(const LostBundle bundle, LostHere(request.name()));
  v1::ShowLostResponse response;
  *response.mutable_bundle() = LostToProto(bundle, context_.server);
  if (!bundle.damaged.ok()) return response;
  response.set_manifest(ToJson(bundle.manifest));
  const uint32_t records_max = std::min(request.records(), kRecordsMax);
  if (records_max > 0) {
    ASSIGN_OR_RETURN(const LostRecords records, ReadLostRecords(context_.env, bundle, records_max));
    FillLostRecords(records, response);
  }
  if (request.no_compare()) return response;
  const base::Status compared =
      CompareWithCopy(bundle, std::min(request.rows(), kRowsMax), response);
  if (!compared.ok()) response.set_not_compared(base::FirstLine(compared.message()));
  return response;
}

base::Status Admin::CompareWithCopy(const LostBundle& bundle, uint32_t rows_max,
                                    v1::ShowLostResponse& to) {
  const LostManifest& m = bundle.manifest;
  if (m.database_bytes == 0) {
    return base::NotFound("the bundle has no database: " + m.database_left_out);
  }
  ASSIGN_OR_RETURN(
      const std::vector<sqlite::TableDifference> tables,
      CompareWithCopyOf(m.database, m.database_id, env::JoinPath(bundle.directory, kLostDatabase),
                        rows_max, *to.mutable_copy_at()));
  to.set_compared(true);
  FillDifferences(tables, *to.mutable_tables());
  return {};
}

base::Result<std::vector<sqlite::TableDifference>> Admin::CompareWithCopyOf(
    const std::string& database, base::DatabaseId id, const std::string& path, uint32_t rows_max,
    v1::Position& at) {
  for (const CopyHost::LocalStatus& local : host_.Statuses()) {
    if (local.id != id) continue;
    if (!IsWhole(local.status)) {
      return base::Unavailable(fmt::format("the copy of {} on {} is {}", local.database,
                                           context_.server, local.status.state()));
    }
    at = local.status.replayed();
    return sqlite::CompareRows(context_.env, {.first = path,
                                              .second = local.status.path(),
                                              .rows_max = rows_max,
                                              .limit = kCompareLimit});
  }
  return base::NotFound(
      fmt::format("server {} has no copy of {} any more", context_.server, database));
}

base::Status Admin::ExportLost(const v1::ExportLostRequest& request, const rpc::CallContext& call,
                               const Sender<v1::ExportLostResponse>& send) {
  ASSIGN_OR_RETURN(const std::string server, ServerOfLost(request.name()));
  if (server != context_.server) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(server));
    v1::ExportLostRequest forward = request;
    forward.mutable_name()->set_server(server);
    return client->ExportLost(
        forward, [&](const v1::ExportLostResponse& response) { return send(response); });
  }
  ASSIGN_OR_RETURN(const LostBundle bundle, LostHere(request.name()));
  RETURN_IF_ERROR(bundle.damaged);
  v1::ExportLostResponse response;
  *response.mutable_bundle() = LostToProto(bundle, context_.server);
  if (!send(response)) return base::Cancelled("the client went away");
  return SendLostDatabase(context_.env, bundle, [&](const v1::ExportLostResponse& message) {
    return !call.cancelled() && send(message);
  });
}

base::Result<v1::RemoveLostResponse> Admin::RemoveLost(const v1::RemoveLostRequest& request) {
  ASSIGN_OR_RETURN(const std::string server, ServerOfLost(request.name()));
  if (server != context_.server) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(server));
    v1::RemoveLostRequest forward = request;
    forward.mutable_name()->set_server(server);
    return client->RemoveLost(forward, kRemoveLimit);
  }
  ASSIGN_OR_RETURN(const LostBundle bundle, LostHere(request.name()));
  RETURN_IF_ERROR(server::RemoveLost(context_.env, bundle));
  const LostManifest& m = bundle.manifest;
  context_.events.Add(EventNumber::kLostLogRemoved, Severity::kInfo, m.database,
                      fmt::format("removed lost log {} of {} on {}: {} records", m.id, m.database,
                                  context_.server, m.records));
  v1::RemoveLostResponse response;
  *response.mutable_removed() = LostToProto(bundle, context_.server);
  return response;
}

}  // namespace understudy::server
