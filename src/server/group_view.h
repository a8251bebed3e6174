// SPDX-License-Identifier: Apache-2.0
// GroupView: what is known of the group at one moment, for Active Manager's decisions: the
// registry, and what the servers of passive copies say when asked now.
//
// Threading: pure functions over thread-safe parts; each question to a server has a short limit.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/activation.h"
#include "rpc/admin_client.h"
#include "server/context.h"
#include "server/copy_host.h"

namespace understudy::server {

// Servers may be half a second's round trip apart (as in a database availability group): connecting
// takes three of those with TLS, a question one.
inline constexpr base::Duration kPeerConnectLimit = std::chrono::seconds(2);
inline constexpr base::Duration kPeerAnswerLimit = std::chrono::seconds(2);

// Where another server is reached.
base::Result<std::string> AddressOf(const ServerContext& context, const std::string& server);
// A connection to another server, by [peers] of the configuration or what it announced.
base::Result<std::unique_ptr<rpc::AdminClient>> DialServer(const ServerContext& context,
                                                           const std::string& server);
// The same without asking the coordinator: `announced` is what the caller knows.
base::Result<std::unique_ptr<rpc::AdminClient>> DialServerAt(const ServerContext& context,
                                                             const std::string& server,
                                                             const std::string& announced,
                                                             base::Duration limit);

struct GroupView {
  cluster::GroupRecord group;
  std::set<std::string> maintenance;
  std::vector<cluster::ServerRecord> servers;
  std::vector<cluster::DatabaseRecord> databases;
  std::vector<cluster::CopyStatusRecord> statuses;

  bool IsAlive(const std::string& server) const;
  const cluster::CopyStatusRecord* StatusOf(const cluster::DatabaseRecord& database,
                                            const std::string& server) const;
};
base::Result<GroupView> ReadGroup(const ServerContext& context);

// Without asking anybody: positions as last published.
cluster::DatabaseView ViewOf(const GroupView& group, const cluster::DatabaseRecord& database);
// Asks the live servers of the views' passive copies, each once.
void AskServers(const ServerContext& context, const CopyHost& host,
                std::vector<cluster::DatabaseView*> views);

}  // namespace understudy::server
