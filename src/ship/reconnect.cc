// SPDX-License-Identifier: Apache-2.0
#include "ship/reconnect.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"

namespace understudy::ship {

void ReconnectPolicy::OnConnected(base::SteadyTime now) {
  connected_ = true;
  connected_at_ = now;
}

const ReconnectPolicy::Event& ReconnectPolicy::OnLost(const std::string& cause,
                                                      base::SteadyTime now) {
  const bool was_connected = connected_;
  if (connected_ && now - connected_at_ >= options_.stable_after) failures_ = 0;
  connected_ = false;
  constexpr uint32_t kDoublingsMax = 20;
  const int64_t doubled = options_.delay_first.count() << std::min(failures_, kDoublingsMax);
  const int64_t delay = std::min(doubled, options_.delay_max.count());
  // Half fixed, half random: never at once, never in step with others.
  const base::Duration wait(
      delay / 2 + static_cast<int64_t>(env_.Random() % static_cast<uint64_t>(delay / 2 + 1)));
  ++failures_;
  next_attempt_ = now + wait;

  last_event_.number = kEventConnectionLost;
  last_event_.time = env_.WallNow();
  ++last_event_.count;
  last_event_.text =
      fmt::format("event {}: connection to {} {}: {}; retry {} in {:.2f} s", kEventConnectionLost,
                  options_.peer, was_connected ? "lost" : "could not be made", cause, failures_,
                  static_cast<double>(wait.count()) / 1e9);
  base::Diag(base::DiagLevel::kWarning, "ship", last_event_.text,
             {{"peer", options_.peer}, {"event", kEventConnectionLost}});
  return last_event_;
}

}  // namespace understudy::ship
