// SPDX-License-Identifier: Apache-2.0
#include "server/network_findings.h"

#include <fmt/format.h>

#include <cstdlib>

namespace understudy::server {
namespace {

constexpr int64_t kClockMsMax = 1'000;
constexpr double kLossMax = 0.01;         // of segments
constexpr uint64_t kSegmentsMin = 1'000;  // fewer say nothing
constexpr uint32_t kMtuUsual = 1'500;
// In a lease, so that it is renewed across the path (docs/design/0033-far-away-and-cut-off.md).
constexpr int64_t kLeaseRoundTrips = 16;

void Problem(v1::NetworkPath& path, std::string what, std::string remedy) {
  v1::NetworkFinding* const finding = path.add_findings();
  finding->set_problem(true);
  finding->set_what(std::move(what));
  finding->set_remedy(std::move(remedy));
}

void GoodToKnow(v1::NetworkPath& path, std::string what, std::string remedy) {
  v1::NetworkFinding* const finding = path.add_findings();
  finding->set_what(std::move(what));
  finding->set_remedy(std::move(remedy));
}

double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

void JudgeIdle(v1::NetworkPath& path) {
  if (path.idle_died_ms() == 0) return;
  const std::string what =
      fmt::format("idle connections {} after about {:.1f} s (one of {:.1f} s lived)",
                  path.idle_reset() ? "are reset" : "are forgotten without a word",
                  Seconds(path.idle_died_ms()), Seconds(path.idle_survived_ms()));
  const double keepalive = Seconds(path.keepalive_ms());
  if (path.idle_survived_ms() < path.keepalive_ms()) {
    Problem(path, what,
            fmt::format("on the firewall or router in between: raise the idle timer of TCP "
                        "connections; or lower ship.heartbeat, so that servers say something more "
                        "often than every {:.1f} s. Until then connections are lost and made again "
                        "(2153)",
                        keepalive));
    return;
  }
  GoodToKnow(
      path, what,
      fmt::format("nothing for the group: its servers say something every {:.1f} s. Other "
                  "programs need a keepalive below the limit: net.ipv4.tcp_keepalive_time is "
                  "{:.0f} s here",
                  keepalive, Seconds(path.kernel_keepalive_ms())));
}

void JudgeTransfers(v1::NetworkPath& path) {
  if (path.large_lost()) {
    Problem(
        path,
        fmt::format("large messages do not arrive, small ones do; the path's MTU is taken for {}",
                    path.mtu()),
        "a device drops large packets and hides it: let ICMP \"fragmentation needed\" pass, or "
        "set the MTU of the interface (ip link set DEV mtu 1400), or net.ipv4.tcp_mtu_probing=1");
  }
  if (path.aborted() > 0) {
    Problem(path,
            fmt::format("{} of {} transfers were aborted in mid-stream", path.aborted(),
                        path.transfers()),
            "something on the way ends connections while they are used: except the servers' ports "
            "from content inspection, antivirus scanning and TCP session limits");
  }
}

void JudgeLoss(v1::NetworkPath& path) {
  if (path.lost() > 0) {
    Problem(path, fmt::format("{} of {} small messages had no answer", path.lost(), path.probes()),
            "look at the link: errors of interfaces (ip -s link), a full line, a cut now and then");
  }
  const double loss = static_cast<double>(path.retransmitted()) /
                      static_cast<double>(std::max<uint64_t>(path.segments(), 1));
  if (path.segments() >= kSegmentsMin && loss > kLossMax) {
    Problem(
        path,
        fmt::format("{:.1f} % of the packets that this machine sent were sent again", loss * 100),
        "look at the link: errors of interfaces (ip -s link), a full line, a policer that drops "
        "instead of delaying");
  }
}

void JudgeDistance(const PathNeeds& needs, v1::NetworkPath& path) {
  const int64_t rtt_ms = path.rtt_median_us() / 1000;
  const int64_t lease_ms = needs.lease / std::chrono::milliseconds(1);
  if (rtt_ms * kLeaseRoundTrips > lease_ms) {
    Problem(
        path,
        fmt::format("a round trip takes {} ms, and coordinator.lease is {} ms", rtt_ms, lease_ms),
        fmt::format("where etcd's leader may be at the other end: set coordinator.lease to {} s "
                    "on every server",
                    (rtt_ms * kLeaseRoundTrips + 999) / 1000));
  }
  const int64_t silence_ms = needs.silence_max / std::chrono::milliseconds(1);
  if (path.rtt_max_us() / 1000 > silence_ms / 2) {
    Problem(
        path,
        fmt::format("a round trip took up to {} ms, and a connection is given up after {} ms of "
                    "silence",
                    path.rtt_max_us() / 1000, silence_ms),
        "raise ship.silence_max, or find what holds packets up");
  }
}

void JudgeClock(v1::NetworkPath& path) {
  const int64_t off = std::llabs(path.clock_ms());
  if (off <= std::max<int64_t>(kClockMsMax, path.clock_error_ms())) return;
  Problem(path,
          fmt::format("the clock of {} is {:.1f} s {} that of {}", path.to(), Seconds(off),
                      path.clock_ms() > 0 ? "ahead of" : "behind", path.from()),
          "let both be set by NTP (timedatectl); nothing is lost by it, but times of events, "
          "backups and restores to a time are wrong by as much");
}

}  // namespace

void JudgePath(const PathNeeds& needs, v1::NetworkPath& path) {
  if (!path.error().empty()) {
    Problem(path, path.error(),
            "see that the server runs (understudy server list), and that its port is let through");
    return;
  }
  JudgeTransfers(path);
  JudgeLoss(path);
  JudgeIdle(path);
  JudgeDistance(needs, path);
  JudgeClock(path);
  if (path.mtu() > 0 && path.mtu() < kMtuUsual && !path.large_lost()) {
    GoodToKnow(path, fmt::format("the path's MTU is {}: a tunnel", path.mtu()), "nothing");
  }
}

}  // namespace understudy::server
