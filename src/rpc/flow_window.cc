// SPDX-License-Identifier: Apache-2.0
#include "rpc/flow_window.h"

#include <algorithm>

namespace understudy::rpc {

uint64_t FlowWindow::piece_bytes() const { return std::min(kPieceBytesMax, window_ / 4); }

void FlowWindow::OnSent(base::SteadyTime now, uint64_t bytes) {
  sent_ += bytes;
  if (samples_.empty() || sent_ - samples_.back().end >= kTellBytes) {
    samples_.push_back({sent_, now});
  }
  if (!HasRoom()) used_up_ = true;
}

bool FlowWindow::OnReceived(base::SteadyTime now, uint64_t total) {
  if (total > sent_) return false;
  if (total <= received_) return true;
  const uint64_t more = total - received_;
  received_ = total;
  if (samples_.empty() || samples_.front().end > total) return true;
  base::SteadyTime sent_at{};
  while (!samples_.empty() && samples_.front().end <= total) {
    sent_at = samples_.front().time;
    samples_.pop_front();
  }
  const base::Duration delay = now - sent_at;
  latency_ = std::min(latency_, delay);
  const base::Duration queueing = delay - latency_;
  if (queueing > kQueueingMax && total > next_shrinking_) {
    const double share = double(kQueueingMax.count()) / double(queueing.count()) / 2;
    window_ = std::max(kBytesMin, static_cast<uint64_t>(double(window_) * share));
    next_shrinking_ = sent_;
    used_up_ = false;
  } else if (queueing < kQueueingGoal && used_up_) {
    window_ = std::min(kBytesMax, window_ + more);
    used_up_ = in_flight() >= window_;
  }
  return true;
}

}  // namespace understudy::rpc
