// SPDX-License-Identifier: Apache-2.0
#include "ship/channel_watch.h"

#include <fmt/format.h>

namespace understudy::ship {

ChannelWatch::ChannelWatch(const Options& options, Channel& channel, base::SteadyTime now,
                           Ends ends)
    : options_(options),
      channel_(channel),
      ends_(std::move(ends)),
      heard_(channel.heard()),
      last_received_(now),
      next_heartbeat_(now) {}

RunResult ChannelWatch::RunOnce(base::SteadyTime now) {
  RunResult result;
  if (channel_.closed()) return result;
  if (const uint64_t heard = channel_.heard(); heard != heard_) {
    heard_ = heard;
    last_received_ = now;
  }
  if (now - last_received_ >= options_.silence_max) {
    cause_ = fmt::format(
        "no message for {} s (limit silence_max); the peer is dead or the "
        "connection is cut on the way",
        std::chrono::duration_cast<std::chrono::seconds>(now - last_received_).count());
    channel_.Close();
    result.worked = true;
    return result;
  }
  if (now >= next_heartbeat_) {
    Heartbeat heartbeat;
    heartbeat.count = count_ + 1;
    if (ends_) heartbeat.ends = ends_();
    if (heartbeat.ends.size() > kHeartbeatEndsMax) heartbeat.ends.resize(kHeartbeatEndsMax);
    // A full queue means that other messages are on their way: as good as a heartbeat.
    if (channel_.TrySend(std::move(heartbeat))) ++count_;
    next_heartbeat_ = now + options_.interval;
    result.worked = true;
  }
  result.Sooner(next_heartbeat_);
  result.Sooner(last_received_ + options_.silence_max);
  return result;
}

}  // namespace understudy::ship
