// SPDX-License-Identifier: Apache-2.0
#include "server/group_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/mutex.h"
#include "server/ask_peers.h"
#include "server/group_tls.h"

namespace understudy::server {
namespace {

base::Position ToPosition(const v1::Position& position) {
  return {base::Term(position.term()), base::Seq(position.seq())};
}

void Fill(cluster::CopyView& view, const v1::CopyStatus& status) {
  view.answered = true;
  view.state = status.state();
  view.durable = ToPosition(status.durable());
  view.connected = status.connected();
  view.source_end = ToPosition(status.source_end());
  view.final_term = base::Term(status.final_term());
  view.replay_queue = status.replay_queue();
  view.silence.reset();
  if (status.silence_ms() >= 0) view.silence = std::chrono::milliseconds(status.silence_ms());
}

void FillAll(const std::string& server, const std::string& database, const v1::CopyStatus& status,
             std::vector<cluster::DatabaseView*>& views) {
  for (cluster::DatabaseView* const view : views) {
    if (view->record.name != database) continue;
    const cluster::CopyRecord* const record = view->record.FindCopy(server);
    if (record == nullptr || record->incarnation != status.incarnation()) continue;
    for (cluster::CopyView& copy : view->passives) {
      if (copy.server == server && status.role() == "passive") Fill(copy, status);
    }
  }
}

}  // namespace

base::Result<std::string> AddressOf(const ServerContext& context, const std::string& server) {
  const Config config = context.settings.Get();
  if (const auto found = config.peers.find(server); found != config.peers.end()) {
    return found->second;
  }
  // The cluster thread notes changes at once. One that has moved since says who it is.
  if (context.addresses != nullptr) {
    if (const auto known = context.addresses->Find(server)) return *known;
  }
  ASSIGN_OR_RETURN(const cluster::ServerRecord record, context.registry.FindServer(server));
  return record.address;
}

base::Result<std::unique_ptr<rpc::AdminClient>> DialServer(const ServerContext& context,
                                                           const std::string& server) {
  ASSIGN_OR_RETURN(const std::string address, AddressOf(context, server));
  return DialServerAt(context, server, address, kPeerConnectLimit);
}

base::Result<std::unique_ptr<rpc::AdminClient>> DialServerAt(const ServerContext& context,
                                                             const std::string& server,
                                                             const std::string& announced,
                                                             base::Duration limit) {
  const Config config = context.settings.Get();
  const auto found = config.peers.find(server);
  base::Result<std::unique_ptr<rpc::AdminClient>> client =
      context.dialer.DialAdmin(found == config.peers.end() ? announced : found->second, limit,
                               SecurityTo(context.tls, server));
  if (client.ok()) return client;
  return client.status().WithContext(fmt::format("server {}", server));
}

bool GroupView::IsAlive(const std::string& server) const {
  return std::any_of(servers.begin(), servers.end(), [&](const cluster::ServerRecord& record) {
    return record.name == server && record.alive;
  });
}

const cluster::CopyStatusRecord* GroupView::StatusOf(const cluster::DatabaseRecord& database,
                                                     const std::string& server) const {
  const cluster::CopyRecord* const copy = database.FindCopy(server);
  for (const cluster::CopyStatusRecord& status : statuses) {
    if (copy != nullptr && status.database == database.name && status.server == server &&
        status.incarnation == copy->incarnation) {
      return &status;
    }
  }
  return nullptr;
}

base::Result<GroupView> ReadGroup(const ServerContext& context) {
  GroupView view;
  ASSIGN_OR_RETURN(view.group, context.registry.Group());
  ASSIGN_OR_RETURN(view.maintenance, context.registry.Maintenance());
  ASSIGN_OR_RETURN(view.databases, context.registry.Databases());
  ASSIGN_OR_RETURN(view.statuses, context.registry.Statuses());
  // After the databases: a server that is alive here was so when it was last made active, or later.
  ASSIGN_OR_RETURN(view.servers, context.registry.Servers());
  return view;
}

cluster::DatabaseView ViewOf(const GroupView& group, const cluster::DatabaseRecord& database) {
  cluster::DatabaseView view;
  view.record = database;
  view.active_alive = group.IsAlive(database.active);
  if (const auto* status = group.StatusOf(database, database.active); status != nullptr) {
    view.active_published = status->durable;
  }
  for (const cluster::CopyRecord& copy : database.copies) {
    if (copy.server == database.active) continue;
    cluster::CopyView passive;
    passive.server = copy.server;
    passive.server_alive = group.IsAlive(copy.server);
    passive.in_maintenance = group.maintenance.contains(copy.server);
    if (const auto* status = group.StatusOf(database, copy.server); status != nullptr) {
      passive.state = status->state;
      passive.durable = status->durable;
    }
    view.passives.push_back(std::move(passive));
  }
  return view;
}

void AskServers(const ServerContext& context, const CopyHost& host,
                std::vector<cluster::DatabaseView*> views) {
  std::set<std::string> servers;
  for (const cluster::DatabaseView* const view : views) {
    for (const cluster::CopyView& copy : view->passives) {
      if (copy.server_alive) servers.insert(copy.server);
    }
  }
  if (servers.erase(context.server) > 0) {
    for (const CopyHost::LocalStatus& local : host.Statuses()) {
      FillAll(context.server, local.database, local.status, views);
    }
  }
  base::Mutex mutex;  // guards `views`
  AskPeers(servers, [&](const std::string& server) {
    // One that does not answer stays as it was published, and is no candidate.
    const auto client = DialServer(context, server);
    if (!client.ok()) return;
    const base::Result<v1::StatusResponse> answer = (*client)->LocalStatus({}, kPeerAnswerLimit);
    if (!answer.ok()) return;
    base::MutexLock lock(mutex);
    for (const v1::DatabaseStatus& database : answer->databases()) {
      for (const v1::CopyStatus& status : database.copies()) {
        FillAll(server, database.name(), status, views);
      }
    }
  });
}

}  // namespace understudy::server
