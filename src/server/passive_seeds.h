// SPDX-License-Identifier: Apache-2.0
// PassiveSeeds: on one connection, the seeds whose pages the peer takes from passive copies of this
// server.
//
// The peer has the seed's start from the active copy, and its log too; here it gets pages only
// (ship/seed_source.h, Options::passive). A copy that cannot give them now (suspended, lagged, not
// whole) refuses as kUnavailable with the reason, and the peer asks again or takes another source.
// Threading: confined to the session's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "rpc/ship_connection.h"
#include "server/context.h"
#include "server/copy_page_source.h"
#include "server/passive_copy.h"
#include "server/seed_traffic.h"
#include "ship/seed_source.h"

namespace understudy::server {

class PassiveSeeds {
 public:
  // Null when there is no passive copy of that database here.
  using Finder = std::function<std::shared_ptr<PassiveCopy>(base::DatabaseId)>;

  // All borrowed, and must outlive this.
  PassiveSeeds(const ServerContext& context, const Finder& find, rpc::ShipConnection& connection)
      : context_(context), find_(find), connection_(connection) {}
  PassiveSeeds(const PassiveSeeds&) = delete;
  PassiveSeeds& operator=(const PassiveSeeds&) = delete;

  // False, and the message is as it was: it is not of a seed that goes on from a passive copy here.
  bool Take(ship::Message& message, base::SteadyTime now);
  ship::RunResult RunOnce(base::SteadyTime now);

 private:
  using Pages = CopyPageSource<PassiveCopy, replay::Replayer>;
  struct Seed {
    Seed(const ServerContext& context, std::shared_ptr<PassiveCopy> passive,
         rpc::ShipConnection& connection)
        : copy(std::move(passive)), slot(context.seeds, copy->name(), connection.peer()) {}
    const std::shared_ptr<PassiveCopy> copy;
    GivenSeed slot;
    uint64_t request = 0;
    // Made anew for each request. The source looks through the others: it goes first.
    std::shared_ptr<log::LogStore> log;
    std::unique_ptr<Pages> pages;
    std::unique_ptr<ship::SeedSource> source;
  };

  base::Status Begin(Seed& seed, const ship::SeedRequest& request, base::SteadyTime now);
  void Refuse(base::DatabaseId database, uint64_t request, const base::Status& why);

  const ServerContext& context_;
  const Finder& find_;
  rpc::ShipConnection& connection_;
  std::map<base::DatabaseId, std::unique_ptr<Seed>> seeds_;
};

}  // namespace understudy::server
