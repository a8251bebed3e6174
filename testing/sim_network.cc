// SPDX-License-Identifier: Apache-2.0
#include "testing/sim_network.h"

#include <algorithm>

namespace understudy::test {

SimLink::SimLink(SimClock& clock, uint64_t seed, const Options& options)
    : clock_(clock),
      options_(options),
      random_(seed),
      copier_(*this, source_),
      source_(*this, copier_) {}

void SimLink::Cut() {
  closed_ = true;
  copier_.incoming_.clear();
  source_.incoming_.clear();
}

void SimLink::SetLossy(bool to_source, bool to_copier) {
  copier_.lossy_ = to_source;
  source_.lossy_ = to_copier;
}

bool SimChannel::TrySend(ship::Message&& message) {
  if (link_.closed_ || peer_.incoming_.size() >= link_.options_.queue_messages_max) return false;
  if (lossy_) return true;
  const auto& options = link_.options_;
  const auto spread = static_cast<uint64_t>((options.delay_max - options.delay_min).count());
  const base::Duration delay =
      options.delay_min + base::Duration(static_cast<int64_t>(link_.random_() % (spread + 1)));
  base::SteadyTime arrival = link_.clock_.Now() + delay;
  if (!peer_.incoming_.empty()) arrival = std::max(arrival, peer_.incoming_.back().arrival);
  peer_.incoming_.push_back({arrival, std::move(message)});
  return true;
}

bool SimChannel::closed() const { return link_.closed_; }

void SimChannel::Close() { link_.Cut(); }

std::optional<ship::Message> SimChannel::Receive() {
  if (incoming_.empty() || incoming_.front().arrival > link_.clock_.Now()) return std::nullopt;
  ship::Message message = std::move(incoming_.front().message);
  incoming_.pop_front();
  ++link_.arrivals_;
  ++received_;
  if (link_.cut_after_ && link_.arrivals_ >= *link_.cut_after_) link_.Cut();
  return message;
}

std::optional<base::SteadyTime> SimChannel::NextArrival() const {
  if (incoming_.empty()) return std::nullopt;
  return incoming_.front().arrival;
}

}  // namespace understudy::test
