// SPDX-License-Identifier: Apache-2.0
// Whom a passive copy takes the pages of its seed from, and whom it gives pages for theirs.
//
// The start of a seed and the log always come from the active copy. The pages come from the copy
// that an administrator has chosen (`understudy copy source`), over a connection of their own,
// until that one is of no use: then the rest comes from the active copy.
#include <fmt/format.h>

#include <utility>

#include "server/passive_copy.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

// How long a chosen source may give nothing before the active copy is asked instead.
constexpr base::Duration kSourceLimit = std::chrono::seconds(30);

}  // namespace

// --- taking ---

void PassiveCopy::SetSeedFrom(const std::string& server) {
  {
    base::MutexLock lock(mutex_);
    wishes_.seed_from = server;
  }
  link_->Notify();
}

bool PassiveCopy::PagesElsewhere() const {
  return !seed_from_.empty() && seed_from_ != source_ && !source_given_up_;
}

// The seed under way has a start, so that its pages come from another passive copy now.
bool PassiveCopy::TakesFromOther() const {
  return seed_ && !suspended_ && !replaying_ && PagesElsewhere() && seed_->has_start();
}

void PassiveCopy::RouteSeed(const std::string& cause, base::SteadyTime now) {
  if (seed_) seed_->SetPagesElsewhere(PagesElsewhere());
  const bool from_other = TakesFromOther();
  const bool other_is_there = from_other && seed_link_.peer() == seed_from_;
  ship::Channel* channel = nullptr;
  if (other_is_there) {
    channel = seed_link_.connection();
  } else if (seed_ && !suspended_ && !replaying_ && !from_other) {
    channel = channel_;
  }
  if (channel != seed_channel_ && seed_channel_ != nullptr && seed_) {
    seed_->OnDisconnected(cause, now);
  }
  if (channel != seed_channel_ && channel != nullptr) {
    seed_->OnConnected(*channel, from_other ? seed_from_ : source_, now);
  }
  seed_channel_ = channel;
  // Only now: the seed has let go of the connection that may end here.
  seed_link_.SetPeer(from_other ? seed_from_ : "");
}

void PassiveCopy::FollowSeedLink(base::SteadyTime now, ship::RunResult& result) {
  RouteSeed("another source was chosen", now);
  if (seed_link_.connection() == nullptr) {
    result.worked = seed_link_.Connect(now).has_value() || result.worked;
    result.Sooner(seed_link_.next_attempt());
  } else {
    const bool received = seed_link_.Receive([&](ship::Message&& message) {
      if (seed_channel_ == seed_link_.connection()) seed_->OnMessage(std::move(message), now);
    });
    const std::optional<std::string> ended = seed_link_.Watch(now, result);
    if (ended) seed_link_.Drop(*ended, now);
    result.worked = result.worked || received || ended;
  }
  RouteSeed(seed_link_.trouble(), now);
  WatchSeedSource(now, result);
}

void PassiveCopy::WatchSeedSource(base::SteadyTime now, ship::RunResult& result) {
  using State = ship::SeedTarget::State;
  if (!TakesFromOther() || seed_->status().state != State::kCopying || !seed_waits_.empty()) {
    source_moved_ = now;
    return;
  }
  const ship::SeedTarget::Status& seed = seed_->status();
  const uint64_t moved = seed.bytes_received + seed.chunks_durable + seed.hash_bytes_sent;
  if (moved != source_moved_to_) source_moved_ = now;
  source_moved_to_ = moved;
  if (now - source_moved_ < kSourceLimit) {
    result.Sooner(source_moved_ + kSourceLimit);
    return;
  }
  GiveSourceUp(!seed_link_.trouble().empty()
                   ? "no connection: " + seed_link_.trouble()
                   : fmt::format("it gave nothing for {} s; {}",
                                 kSourceLimit / std::chrono::seconds(1), seed.last_event));
  RouteSeed("another source is taken", now);
  result.worked = true;
}

void PassiveCopy::GiveSourceUp(const std::string& why) {
  source_given_up_ = true;
  context_.events.Add(
      EventNumber::kSeedSourceGivenUp, Severity::kWarning, options_.name,
      fmt::format("the copy of {} on {} takes the rest of its pages from {}, not from {}: {}",
                  options_.name, context_.server, source_.empty() ? "the active copy" : source_,
                  seed_from_, why));
}

// --- giving ---

void PassiveCopy::SetPeers(std::map<std::string, uint64_t> peers) {
  base::MutexLock lock(mutex_);
  peers_ = std::move(peers);
}

bool PassiveCopy::HasPeer(const std::string& peer, uint64_t incarnation) const {
  base::MutexLock lock(mutex_);
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second == incarnation;
}

base::Term PassiveCopy::term_known() const {
  base::MutexLock lock(mutex_);
  return wishes_.term_known;
}

base::Result<std::shared_ptr<log::LogStore>> PassiveCopy::SeedableLog() const {
  base::MutexLock lock(mutex_);
  const auto no = [&](const std::string& why) {
    return base::Unavailable(
        fmt::format("the copy of {} cannot give pages for a seed: {}", options_.name, why));
  };
  if (wishes_.suspended) return no("it is suspended");
  if (wishes_.replay_lag > base::Duration(0)) return no("it is lagged on purpose");
  const std::string& state = status_.state();
  const bool whole =
      state == "Healthy" || state == "DisconnectedAndHealthy" || state == "PageRepair";
  if (!whole || held_log_.log == nullptr) return no("it is " + state);
  return held_log_.log;
}

}  // namespace understudy::server
