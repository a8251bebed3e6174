// SPDX-License-Identifier: Apache-2.0
// SimNetwork: connections between servers in one process and one thread, over simulated time.
//
// A SimLink is one connection: two SimChannels, each with a bounded queue towards the other. A
// message arrives after a seeded delay, in order. Faults: Cut (what is under way is lost, both ends
// are closed), CutAfter (a cut right after the Nth arrival), SetLossy (half open: a direction
// swallows messages and nobody is told), and a full queue (TrySend false). A message is never
// changed, doubled or reordered: TCP would not do that; tests that want it tamper with messages.
//
// Threading: confined to one thread. The SimClock and SimNetwork must outlive their links.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <random>

#include "ship/messages.h"
#include "testing/sim_clock.h"

namespace understudy::test {

class SimLink;

class SimChannel final : public ship::Channel {
 public:
  bool TrySend(ship::Message&& message) override;
  bool closed() const override;
  uint64_t heard() const override { return received_; }
  void Close() override;

  // The next message that has arrived by now.
  std::optional<ship::Message> Receive();
  // When the next message arrives, if any is under way.
  std::optional<base::SteadyTime> NextArrival() const;
  size_t queued() const { return incoming_.size(); }

 private:
  friend class SimLink;
  struct InFlight {
    base::SteadyTime arrival;
    ship::Message message;
  };
  SimChannel(SimLink& link, SimChannel& peer) : link_(link), peer_(peer) {}

  SimLink& link_;
  SimChannel& peer_;
  std::deque<InFlight> incoming_;  // bounded by queue_messages_max
  uint64_t received_ = 0;          // messages
  bool lossy_ = false;             // what this end sends is lost
};

class SimLink {
 public:
  struct Options {
    base::Duration delay_min = std::chrono::microseconds(50);
    base::Duration delay_max = std::chrono::milliseconds(1);
    size_t queue_messages_max = 64;  // under way in each direction
  };
  SimLink(SimClock& clock, uint64_t seed, const Options& options);

  SimChannel& copier_end() { return copier_; }
  SimChannel& source_end() { return source_; }

  void Cut();
  void CutAfter(uint64_t arrivals) { cut_after_ = arrivals; }
  // Half open: messages of that direction are lost from now on, silently.
  void SetLossy(bool to_source, bool to_copier);
  bool closed() const { return closed_; }
  uint64_t arrivals() const { return arrivals_; }

 private:
  friend class SimChannel;
  SimClock& clock_;
  const Options options_;
  std::mt19937_64 random_;
  bool closed_ = false;
  uint64_t arrivals_ = 0;
  std::optional<uint64_t> cut_after_;
  SimChannel copier_;
  SimChannel source_;
};

// Makes links that all follow from one seed.
class SimNetwork {
 public:
  SimNetwork(SimClock& clock, uint64_t seed) : clock_(clock), random_(seed) {}
  std::unique_ptr<SimLink> Connect(const SimLink::Options& options = {}) {
    return std::make_unique<SimLink>(clock_, random_(), options);
  }

 private:
  SimClock& clock_;
  std::mt19937_64 random_;
};

}  // namespace understudy::test
