// SPDX-License-Identifier: Apache-2.0
// ShipSessions: answers the connections that other servers open to this one to copy from its active
// copies, or to take the pages of a seed from its passive ones (passive_seeds.h).
//
// Each connection is served on its own gRPC thread: one log source and one seed source for each
// database that the peer asks for. A request for a database that is not mounted yet waits for it up
// to kMountWait, so that servers may start in any order. When a database is mounted anew (or
// removed) the connection is closed: the peer comes back at once and finds the new mount.
// Threading: thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "rpc/rpc_server.h"
#include "server/active_copy.h"
#include "server/context.h"
#include "server/passive_seeds.h"

namespace understudy::server {

class ShipSessions final : public rpc::ShipAcceptor {
 public:
  static constexpr base::Duration kMountWait = std::chrono::seconds(10);
  static constexpr size_t kWaitingMax =
      1024;  // requests of one connection for databases not mounted

  // Null when there is no active copy of that database here.
  using Finder = std::function<std::shared_ptr<ActiveCopy>(base::DatabaseId)>;
  ShipSessions(const ServerContext& context, Finder find, PassiveSeeds::Finder find_passive)
      : context_(context), find_(std::move(find)), find_passive_(std::move(find_passive)) {}

  void Serve(rpc::ShipConnection& connection) override;

 private:
  const ServerContext context_;
  const Finder find_;
  const PassiveSeeds::Finder find_passive_;
};

}  // namespace understudy::server
