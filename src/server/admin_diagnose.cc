// SPDX-License-Identifier: Apache-2.0
// What the path to other servers is like, and what to change.
#include <fmt/format.h>

#include "base/mutex.h"
#include "rpc/tcp_probe.h"
#include "server/admin.h"
#include "server/ask_peers.h"
#include "server/group_view.h"
#include "server/network_findings.h"
#include "server/path_measure.h"

namespace understudy::server {
namespace {

constexpr uint32_t kAnswerBytesMax = 1 << 20;

// Ends the one that is running.
class OnlyOne {
 public:
  explicit OnlyOne(std::atomic<bool>& running) : running_(running) {}
  ~OnlyOne() { running_ = false; }
  OnlyOne(const OnlyOne&) = delete;
  OnlyOne& operator=(const OnlyOne&) = delete;

 private:
  std::atomic<bool>& running_;
};

}  // namespace

base::Result<v1::ProbeResponse> Admin::Probe(const v1::ProbeRequest& request) {
  v1::ProbeResponse response;
  response.set_received_ms(context_.env.WallNow().unix_ms);
  response.set_payload(std::string(std::min(request.answer_bytes(), kAnswerBytesMax), 'x'));
  return response;
}

base::Status Admin::DiagnoseNetwork(const v1::DiagnoseNetworkRequest& request,
                                    const rpc::CallContext& call,
                                    const Sender<v1::DiagnoseNetworkResponse>& send) {
  if (!request.from().empty() && request.from() != context_.server && !request.forwarded()) {
    RETURN_IF_ERROR(KnownGroup(context_, cache_).FindServer(request.from()).status());
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.from()));
    v1::DiagnoseNetworkRequest forward = request;
    forward.set_forwarded(true);
    return client->DiagnoseNetwork(forward, [&](const v1::DiagnoseNetworkResponse& response) {
      return !call.cancelled() && send(response);
    });
  }
  if (diagnosing_.exchange(true)) {
    return base::Busy(
        fmt::format("{} is measuring paths already; two at once would measure each "
                    "other",
                    context_.server));
  }
  const OnlyOne only_one(diagnosing_);
  return DiagnoseHere(request, call, send);
}

base::Result<std::vector<v1::NetworkPath>> Admin::PathsTo(const std::string& to) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, group.Servers());
  if (to == context_.server) {
    return base::InvalidArgument(fmt::format("there is no path from {} to itself", to));
  }
  if (!to.empty()) RETURN_IF_ERROR(group.FindServer(to).status());
  const Config config = context_.settings.Get();
  std::vector<v1::NetworkPath> paths;
  for (const cluster::ServerRecord& server : servers) {
    if (server.name == context_.server || (!to.empty() && server.name != to)) continue;
    v1::NetworkPath& path = paths.emplace_back();
    path.set_from(context_.server);
    path.set_to(server.name);
    const auto instead = config.peers.find(server.name);
    path.set_address(instead == config.peers.end() ? server.address : instead->second);
  }
  if (paths.empty()) return base::NotFound("there is no other server in this group");
  return paths;
}

base::Status Admin::DiagnoseHere(const v1::DiagnoseNetworkRequest& request,
                                 const rpc::CallContext& call,
                                 const Sender<v1::DiagnoseNetworkResponse>& send) {
  ASSIGN_OR_RETURN(std::vector<v1::NetworkPath> paths, PathsTo(request.to()));
  const auto wanted = [&call] { return !call.cancelled(); };
  std::map<std::string, v1::NetworkPath*> by_server;
  std::set<std::string> reached;
  for (v1::NetworkPath& path : paths) {  // one after the other: they would slow each other down
    v1::DiagnoseNetworkResponse response;
    response.mutable_progress()->set_phase("messages to " + path.to());
    if (!send(response)) return base::Cancelled("the client went away");
    PathMeasure(context_, wanted, path).MeasureTraffic();
    by_server[path.to()] = &path;
    if (path.error().empty()) reached.insert(path.to());
  }
  const base::Duration idle = std::min<base::Duration>(
      std::chrono::milliseconds(std::max<int64_t>(request.idle_max_ms(), 0)),
      rpc::kTcpProbeIdleMax);
  if (idle > base::Duration(0) && !reached.empty()) {
    v1::DiagnoseNetworkResponse response;
    response.mutable_progress()->set_phase(
        fmt::format("idle connections, for {} s, and as long again if some die",
                    idle / std::chrono::seconds(1)));
    if (!send(response)) return base::Cancelled("the client went away");
    AskPeers(reached, [&](const std::string& server) {
      PathMeasure(context_, wanted, *by_server.at(server)).MeasureIdle(idle);
    });
  }
  const Config config = context_.settings.Get();
  for (v1::NetworkPath& path : paths) {
    JudgePath({config.coordinator.lease, config.ship.silence_max}, path);
    v1::DiagnoseNetworkResponse response;
    *response.mutable_path() = std::move(path);
    if (!send(response)) return base::Cancelled("the client went away");
  }
  return {};
}

}  // namespace understudy::server
