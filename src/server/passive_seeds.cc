// SPDX-License-Identifier: Apache-2.0
#include "server/passive_seeds.h"

#include <fmt/format.h>

#include <utility>

namespace understudy::server {

bool PassiveSeeds::Take(ship::Message& message, base::SteadyTime now) {
  const std::optional<base::DatabaseId> database = ship::DatabaseOf(message);
  if (!database || !ship::IsOfSeed(message)) return false;
  auto found = seeds_.find(*database);
  const auto* const request = std::get_if<ship::SeedRequest>(&message);
  if (request != nullptr && request->seed_id != 0) {
    std::shared_ptr<PassiveCopy> copy = find_(*database);
    if (copy == nullptr) return false;
    if (found == seeds_.end() || found->second->copy != copy) {
      found = seeds_
                  .insert_or_assign(*database,
                                    std::make_unique<Seed>(context_, std::move(copy), connection_))
                  .first;
    }
    const base::Status begun = Begin(*found->second, *request, now);
    if (!begun.ok()) {
      found->second->source.reset();
      Refuse(*database, request->request, begun);
      return true;
    }
  }
  if (found == seeds_.end()) return false;
  if (found->second->source) found->second->source->OnMessage(std::move(message), now);
  return true;
}

base::Status PassiveSeeds::Begin(Seed& seed, const ship::SeedRequest& request,
                                 base::SteadyTime now) {
  seed.source.reset();
  seed.request = request.request;
  const PassiveCopy& copy = *seed.copy;
  if (!copy.HasPeer(connection_.peer(), request.incarnation)) {
    return base::Unavailable(fmt::format("{} has no copy of {} by the group's registry",
                                         connection_.peer(), copy.name()));
  }
  ASSIGN_OR_RETURN(seed.log, copy.SeedableLog());
  std::string why;
  if (!seed.slot.Enter(now, why)) return base::Busy(why);
  ship::SeedSource::Options options;
  options.database = copy.id();
  options.database_name = copy.name();
  options.peer = connection_.peer();
  options.term = copy.term_known();
  options.passive = true;
  if (context_.seeds != nullptr) options.rate = &context_.seeds->given_rate;
  seed.pages = std::make_unique<Pages>(seed.copy, connection_.signal());
  seed.source = std::make_unique<ship::SeedSource>(context_.env, options, *seed.log, *seed.pages,
                                                   connection_);
  return {};
}

void PassiveSeeds::Refuse(base::DatabaseId database, uint64_t request, const base::Status& why) {
  ship::Refused refused;
  refused.database = database;
  refused.seed = true;
  refused.request = request;
  refused.code = why.code();
  refused.message = fmt::format("on {} {}", context_.server, why.message());
  connection_.TrySend(std::move(refused));  // if it does not fit, the peer's limit ends its wait
}

ship::RunResult PassiveSeeds::RunOnce(base::SteadyTime now) {
  ship::RunResult result;
  for (auto at = seeds_.begin(); at != seeds_.end();) {
    Seed& seed = *at->second;
    if (!seed.source) {  // refused; its place in line is its slot's
      ++at;
      continue;
    }
    const bool still_here = find_(at->first) == seed.copy;
    const base::Result<std::shared_ptr<log::LogStore>> log = seed.copy->SeedableLog();
    if (!still_here || !log.ok() || *log != seed.log) {
      Refuse(
          at->first, seed.request,
          still_here && !log.ok() ? log.status() : base::Unavailable("the copy was opened anew"));
      at = seeds_.erase(at);
      result.worked = true;
      continue;
    }
    const ship::RunResult run = seed.source->RunOnce(now);
    if (seed.slot.has_slot() && !seed.source->status().under_way()) seed.slot.Leave();
    result.worked = result.worked || run.worked;
    result.Sooner(run.next);
    ++at;
  }
  return result;
}

}  // namespace understudy::server
