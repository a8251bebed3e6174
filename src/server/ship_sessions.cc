// SPDX-License-Identifier: Apache-2.0
#include "server/ship_sessions.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/diag.h"
#include "server/copy_page_source.h"
#include "server/passive_seeds.h"
#include "server/seed_traffic.h"
#include "ship/channel_watch.h"
#include "ship/log_source.h"
#include "ship/seed_source.h"

namespace understudy::server {
namespace {

constexpr int kMessagesPerRound = 64;
constexpr base::Duration kWaitMax = std::chrono::seconds(1);
// A peer that follows the registry asks for what is active here within this time.
constexpr base::Duration kAskAgainLimit = std::chrono::seconds(3);
// How often a request for a database that is not mounted looks again, beside the notifications.
constexpr base::Duration kLookAgain = std::chrono::milliseconds(100);

ship::LogSource::Options SourceOptions(const ActiveCopy& copy, const std::string& peer,
                                       base::Term term) {
  ship::LogSource::Options options;
  options.database = copy.id();
  options.database_name = copy.name();
  options.peer = peer;
  options.term = term;
  return options;
}

ship::SeedSource::Options SeedOptions(const ActiveCopy& copy, const std::string& peer,
                                      base::Term term, SeedTraffic* seeds) {
  ship::SeedSource::Options options;
  options.database = copy.id();
  options.database_name = copy.name();
  options.peer = peer;
  options.term = term;
  if (seeds != nullptr) options.rate = &seeds->given_rate;
  return options;
}

// One database on one connection. The members after `mount` look through it: they go first.
struct Served {
  Served(const ServerContext& context, std::shared_ptr<ActiveCopy> active, Mount of,
         uint64_t peer_incarnation, rpc::ShipConnection& channel)
      : copy(std::move(active)),
        mount(std::move(of)),
        incarnation(peer_incarnation),
        source(SourceOptions(*copy, channel.peer(), mount.term), *mount.log, channel),
        pages(copy, channel.signal()),
        slot(context.seeds, copy->name(), channel.peer()),
        seed(context.env, SeedOptions(*copy, channel.peer(), mount.term, context.seeds), *mount.log,
             pages, channel) {}

  const std::shared_ptr<ActiveCopy> copy;
  const Mount mount;
  const uint64_t incarnation;  // of the peer's copy
  ship::LogSource source;
  CopyPageSource<ActiveCopy, capture::Capture> pages;
  GivenSeed slot;
  ship::SeedSource seed;
  PeerProgress told;
  bool final_told = false;  // that the mount has ended
  base::Term higher_term;   // that the peer knew of
};

class Session {
 public:
  Session(const ServerContext& context, const ShipSessions::Finder& find,
          const PassiveSeeds::Finder& find_passive, rpc::ShipConnection& connection)
      : context_(context),
        find_(find),
        connection_(connection),
        passive_seeds_(context, find_passive, connection),
        watch_(WatchOptions(context.settings.Get()), connection, context.env.Now(),
               [this] { return Ends(); }) {}
  ~Session() {
    for (const auto& [id, served] : served_) {
      PeerProgress gone = served->told;
      gone.connected = false;
      served->copy->SetPeerProgress(connection_.peer(), served->incarnation, gone);
    }
  }

  void Run() {
    while (!connection_.closed()) {
      const uint64_t seen = connection_.signal()->count();
      const base::SteadyTime now = context_.env.Now();
      bool worked = Receive(now);
      base::SteadyTime next = now + (waiting_.empty() ? kWaitMax : kLookAgain);
      RetryWaiting(now);
      DropRemoved();
      if (HasMissedAMove(now)) return connection_.Close();
      for (const auto& [id, served] : served_) {
        if (!StillMounted(*served)) return connection_.Close();
        const ship::RunResult log = served->source.RunOnce(now);
        const ship::RunResult seed = served->seed.RunOnce(now);
        if (served->slot.has_slot() && !served->seed.status().under_way()) served->slot.Leave();
        worked = worked || log.worked || seed.worked;
        next = std::min({next, log.next, seed.next});
        TellProgress(*served);
        TellHigherTerm(*served);
        if (!served->final_told && served->copy->IsFinal()) {
          served->final_told = true;
          watch_.Hasten();
        }
      }
      const ship::RunResult passive = passive_seeds_.RunOnce(now);
      worked = worked || passive.worked;
      next = std::min({next, passive.next, watch_.RunOnce(now).next});
      if (!worked) {
        connection_.signal()->WaitFor(seen,
                                      std::max<base::Duration>(next - now, base::Duration(0)));
      }
    }
  }

 private:
  using ServedMap = std::map<base::DatabaseId, std::unique_ptr<Served>>;
  struct Waiting {
    ship::Message message;
    base::SteadyTime until;
  };

  static ship::ChannelWatch::Options WatchOptions(const Config& config) {
    ship::ChannelWatch::Options options;
    options.interval = config.ship.heartbeat;
    options.silence_max = config.ship.silence_max;
    return options;
  }

  std::vector<ship::Heartbeat::End> Ends() const {
    std::vector<ship::Heartbeat::End> ends;
    for (const auto& [id, served] : served_) {
      if (ends.size() == ship::kHeartbeatEndsMax) break;
      const log::LogEnd end = served->mount.log->end();
      const base::Term final_term = served->final_told ? served->mount.term : base::Term();
      ends.push_back({id, served->mount.log->durable(), end.commit_time, final_term});
    }
    return ends;
  }

  bool Receive(base::SteadyTime now) {
    for (int i = 0; i < kMessagesPerRound; ++i) {
      std::optional<ship::Message> message = connection_.TryReceive();
      if (!message) return i > 0;
      const std::optional<base::DatabaseId> database = ship::DatabaseOf(*message);
      if (!database) continue;  // a heartbeat
      if (Served* served = Find(*database, *message); served != nullptr) {
        Deliver(*served, std::move(*message), now);
      } else if (passive_seeds_.Take(*message, now)) {
        continue;
      } else if (ship::IncarnationOf(*message) && waiting_.size() < ShipSessions::kWaitingMax) {
        waiting_.push_back({std::move(*message), now + ShipSessions::kMountWait});
      }
    }
    return true;
  }

  // What the peer may copy and we have mounted; null otherwise.
  Served* Find(base::DatabaseId database, const ship::Message& message) {
    const std::optional<uint64_t> asks = ship::IncarnationOf(message);
    if (const auto found = served_.find(database); found != served_.end()) {
      if (!asks || *asks == found->second->incarnation) return found->second.get();
      Drop(found);  // a copy that has taken the place of the one we knew
    }
    if (!asks) return nullptr;
    std::shared_ptr<ActiveCopy> copy = find_(database);
    if (copy == nullptr || !copy->HasPeer(connection_.peer(), *asks)) return nullptr;
    copy->AddListener(connection_.signal());
    base::Result<Mount> mount = copy->mount();
    if (!mount.ok()) return nullptr;
    auto served = std::make_unique<Served>(context_, std::move(copy), std::move(mount).value(),
                                           *asks, connection_);
    left_.erase(database);
    return (served_[database] = std::move(served)).get();
  }

  // Whether its seed may go on. Otherwise the peer asks again soon, and keeps its place in line.
  bool EnterSeeds(Served& served, const ship::SeedRequest& request, base::SteadyTime now) {
    ship::Refused refused;
    if (request.start_only || served.slot.Enter(now, refused.message)) return true;
    refused.database = request.database;
    refused.seed = true;
    refused.request = request.request;
    refused.code = base::Code::kBusy;
    refused.message = fmt::format("on {} {}", context_.server, refused.message);
    refused.term = served.mount.term;
    connection_.TrySend(std::move(refused));  // if it does not fit, the peer's limit ends its wait
    return false;
  }

  void Deliver(Served& served, ship::Message&& message, base::SteadyTime now) {
    const auto* const request = std::get_if<ship::SeedRequest>(&message);
    if (request != nullptr && !EnterSeeds(served, *request, now)) return;
    if (ship::IsOfSeed(message)) {
      served.seed.OnMessage(std::move(message), now);
    } else {
      served.source.OnMessage(std::move(message), now);
    }
  }

  void RetryWaiting(base::SteadyTime now) {
    for (size_t left = waiting_.size(); left > 0; --left) {
      Waiting waiting = std::move(waiting_.front());
      waiting_.pop_front();
      const base::DatabaseId database = *ship::DatabaseOf(waiting.message);
      if (Served* served = Find(database, waiting.message); served != nullptr) {
        Deliver(*served, std::move(waiting.message), now);
      } else if (now < waiting.until) {
        waiting_.push_back(std::move(waiting));
      } else {
        Refuse(database, waiting.message);
      }
    }
  }

  void Refuse(base::DatabaseId database, const ship::Message& message) {
    ship::Refused refused;
    refused.database = database;
    refused.code = base::Code::kUnavailable;
    if (const auto* seed = std::get_if<ship::SeedRequest>(&message)) {
      refused.seed = true;
      refused.request = seed->request;
    } else if (const auto* subscribe = std::get_if<ship::Subscribe>(&message)) {
      refused.request = subscribe->request;
    } else {
      return;
    }
    const std::shared_ptr<ActiveCopy> copy = find_(database);
    refused.message = copy == nullptr ? fmt::format("server {} has no active copy of database {}",
                                                    context_.server, database.ToHex())
                      : !copy->HasPeer(connection_.peer(), *ship::IncarnationOf(message))
                          ? fmt::format("{} has no copy of {} by the group's registry",
                                        connection_.peer(), copy->name())
                          : copy->mount().status().message();
    if (refused.message.empty()) return;  // mounted this instant: the peer asks again
    connection_.TrySend(
        std::move(refused));  // if it does not fit, the peer's own limit ends its wait
  }

  // The database, or the peer's copy, was taken out of the group, or its active copy is elsewhere
  // now; the connection goes on for others.
  void DropRemoved() {
    for (auto at = served_.begin(); at != served_.end();) {
      const Served& served = *at->second;
      const bool has_copy = served.copy->HasPeer(connection_.peer(), served.incarnation);
      if (has_copy && find_(at->first) == served.copy) {
        ++at;
        continue;
      }
      if (has_copy) left_[at->first] = std::nullopt;
      at = Drop(at);
    }
  }

  // A peer that does not reach the coordinator may not know that the active copy was elsewhere for
  // a while: it waits for log of a mount that has ended. True: it is sent away, and comes back.
  bool HasMissedAMove(base::SteadyTime now) {
    for (auto& [database, mounted_since] : left_) {
      const std::shared_ptr<ActiveCopy> copy = find_(database);
      if (copy == nullptr || !copy->mount().ok()) {
        mounted_since.reset();
      } else if (!mounted_since) {
        mounted_since = now;
      } else if (now - *mounted_since >= kAskAgainLimit) {
        base::Diag(base::DiagLevel::kInfo, "ship", "closed a connection: the peer missed a move",
                   {{"peer", connection_.peer()}, {"database", copy->name()}});
        return true;
      }
    }
    return false;
  }

  ServedMap::iterator Drop(ServedMap::iterator at) {
    const std::shared_ptr<log::LogStore> log = at->second->mount.log;
    at = served_.erase(at);
    // A late acknowledgement may have set them after the copy was removed.
    log->ReleaseHold(ship::LogSource::HoldName(connection_.peer()));
    log->ReleaseHold(ship::SeedSource::HoldName(connection_.peer()));
    return at;
  }

  bool StillMounted(const Served& served) const {
    const base::Result<Mount> mount = served.copy->mount();
    if (mount.ok() && mount->number == served.mount.number) return true;
    base::Diag(base::DiagLevel::kInfo, "ship", "closed a connection: the mount has changed",
               {{"peer", connection_.peer()}, {"database", served.copy->name()}});
    return false;
  }

  void TellProgress(Served& served) {
    const ship::LogSource::Status& status = served.source.status();
    PeerProgress progress;
    progress.connected = status.state == ship::LogSource::State::kSending;
    progress.durable = status.durable;
    progress.replayed = status.replayed;
    if (progress == served.told) return;
    served.told = progress;
    served.copy->SetPeerProgress(connection_.peer(), served.incarnation, progress);
  }

  void TellHigherTerm(Served& served) {
    const std::optional<base::Term> known =
        std::max(served.source.fenced_by(), served.seed.fenced_by());
    if (!known || *known <= served.higher_term) return;
    served.higher_term = *known;
    served.copy->NoteHigherTerm(served.mount.number, *known, connection_.peer());
  }

  const ServerContext& context_;
  const ShipSessions::Finder& find_;
  rpc::ShipConnection& connection_;
  ServedMap served_;
  PassiveSeeds passive_seeds_;
  std::deque<Waiting> waiting_;
  // Databases that the peer copied until they were no longer active here, and since when they are
  // again.
  std::map<base::DatabaseId, std::optional<base::SteadyTime>> left_;
  ship::ChannelWatch watch_;
};

}  // namespace

void ShipSessions::Serve(rpc::ShipConnection& connection) {
  base::Diag(base::DiagLevel::kInfo, "ship", "a server connected", {{"peer", connection.peer()}});
  Session(context_, find_, find_passive_, connection).Run();
  base::Diag(base::DiagLevel::kInfo, "ship", "a server's connection ended",
             {{"peer", connection.peer()}, {"cause", connection.cause()}});
}

}  // namespace understudy::server
