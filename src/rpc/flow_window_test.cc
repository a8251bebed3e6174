// SPDX-License-Identifier: Apache-2.0
#include "rpc/flow_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "testing/sim_clock.h"

namespace understudy::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A sender with endless data and a link of a fixed rate and latency; the link's queue has no end.
class Link {
 public:
  Link(double bytes_per_second, base::Duration latency)
      : bytes_per_second_(bytes_per_second), latency_(latency) {}

  // Returns the bytes that arrived meanwhile.
  uint64_t Run(base::Duration span) {
    const base::SteadyTime end = clock_.Now() + span;
    const uint64_t before = arrived_;
    while (clock_.Now() < end) {
      while (window.HasRoom()) Send();
      while (!under_way_.empty() && under_way_.front().time <= clock_.Now()) {
        arrived_ = under_way_.front().end;
        longest = std::max(longest, clock_.Now() - under_way_.front().sent);
        under_way_.pop_front();
        told_.push_back({arrived_, clock_.Now() + latency_, {}});
      }
      while (!told_.empty() && told_.front().time <= clock_.Now()) {
        EXPECT_TRUE(window.OnReceived(clock_.Now(), told_.front().end));
        told_.pop_front();
      }
      clock_.Advance(milliseconds(1));
    }
    return arrived_ - before;
  }
  void SetRate(double bytes_per_second) { bytes_per_second_ = bytes_per_second; }

  FlowWindow window;
  base::Duration longest{0};  // that a piece was under way

 private:
  struct Mark {
    uint64_t end;
    base::SteadyTime time;
    base::SteadyTime sent;
  };

  void Send() {
    const uint64_t bytes = window.piece_bytes();
    sent_ += bytes;
    window.OnSent(clock_.Now(), bytes);
    free_at_ = std::max(free_at_, clock_.Now()) +
               base::Duration(static_cast<int64_t>(double(bytes) / bytes_per_second_ * 1e9));
    under_way_.push_back({sent_, free_at_ + latency_, clock_.Now()});
  }

  double bytes_per_second_;
  const base::Duration latency_;
  test::SimClock clock_;
  uint64_t sent_ = 0;
  uint64_t arrived_ = 0;
  base::SteadyTime free_at_{};
  std::deque<Mark> under_way_;
  std::deque<Mark> told_;
};

TEST(FlowWindow, ASlowLinkIsFullButNeverHoldsMoreThanAMoment) {
  Link link(20 << 10, milliseconds(20));
  link.Run(seconds(20));
  link.longest = {};
  EXPECT_GE(link.Run(seconds(60)), uint64_t{60} * (20 << 10) * 9 / 10);
  EXPECT_LE(link.longest, seconds(3));
}

TEST(FlowWindow, AFastLinkWithMuchLatencyIsFilled) {
  Link link(100e6, milliseconds(40));
  link.Run(seconds(5));
  EXPECT_GE(link.Run(seconds(2)), uint64_t{160'000'000});
}

TEST(FlowWindow, ASatelliteLinkIsFilled) {
  Link link(2e6, milliseconds(350));  // 700 ms there and back
  link.Run(seconds(20));
  EXPECT_GE(link.Run(seconds(10)), uint64_t{16'000'000});
}

TEST(FlowWindow, ALinkThatBecomesSlowIsNotedAndOneThatBecomesFastAgainToo) {
  Link link(100e6, milliseconds(5));
  link.Run(seconds(2));
  link.SetRate(100 << 10);
  link.Run(seconds(200));
  EXPECT_LE(link.window.window_bytes(), uint64_t{512 << 10});
  link.longest = {};
  link.Run(seconds(20));
  EXPECT_LE(link.longest, seconds(4));
  link.SetRate(100e6);
  link.Run(seconds(20));
  EXPECT_GE(link.Run(seconds(1)), uint64_t{80'000'000});
}

TEST(FlowWindow, APeerThatHasReceivedMoreThanWasSentIsNotBelieved) {
  FlowWindow window;
  test::SimClock clock;
  window.OnSent(clock.Now(), 100);
  EXPECT_TRUE(window.OnReceived(clock.Now(), 100));
  EXPECT_TRUE(window.OnReceived(clock.Now(), 40)) << "an old word";
  EXPECT_EQ(window.in_flight(), 0u);
  EXPECT_FALSE(window.OnReceived(clock.Now(), 101));
}

}  // namespace
}  // namespace understudy::rpc
