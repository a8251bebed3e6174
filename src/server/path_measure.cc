// SPDX-License-Identifier: Apache-2.0
#include "server/path_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "rpc/protocol.h"
#include "rpc/tcp_probe.h"
#include "server/group_view.h"
#include "server/idle_search.h"

namespace understudy::server {
namespace {

constexpr size_t kSmallBytes = 64;
constexpr size_t kProcBytesMax = 16 << 10;
constexpr base::Duration kLookInterval = std::chrono::milliseconds(20);

int64_t Microseconds(base::Duration length) { return length / std::chrono::microseconds(1); }

void Pause(base::Duration length) {
  base::Mutex mutex;
  base::CondVar nobody_signals;
  base::MutexLock lock(mutex);
  nobody_signals.WaitFor(mutex, length);
}

v1::ProbeRequest Request(size_t payload, size_t answer) {
  v1::ProbeRequest request;
  request.set_payload(std::string(payload, 'x'));
  request.set_answer_bytes(static_cast<uint32_t>(answer));
  return request;
}

// /proc/net/snmp: a line of names and a line of numbers, both begin with "Tcp:".
uint64_t TcpCounter(const std::string& snmp, const std::string& wanted) {
  std::istringstream lines(snmp);
  std::string names;
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.starts_with("Tcp: ")) continue;
    if (names.empty()) {
      names = line;
      continue;
    }
    std::istringstream name(names);
    std::istringstream number(line);
    std::string each;
    std::string value;
    while (name >> each && number >> value) {
      uint64_t count = 0;
      std::from_chars(value.data(), value.data() + value.size(), count);
      if (each == wanted) return count;
    }
  }
  return 0;
}

}  // namespace

base::Result<std::unique_ptr<rpc::AdminClient>> PathMeasure::Dial() {
  return DialServer(context_, path_.to());
}

void PathMeasure::MeasureTraffic() {
  ReadSettings();
  const auto client = Dial();
  if (!client.ok()) {
    path_.set_error(client.status().message());
    return;
  }
  MeasureRoundTrips(**client);
  if (path_.lost() == path_.probes() || !wanted_()) {
    path_.set_error(path_.to() + " answers no small message");
    return;
  }
  MeasureLarge(**client);
  if (path_.large_lost() || !wanted_()) return;
  uint64_t segments = 0;
  uint64_t retransmitted = 0;
  CountSegments(segments, retransmitted);
  path_.set_up_bytes_per_second(MeasureThroughput(kTransferBytes, 0));
  uint64_t segments_after = 0;
  uint64_t retransmitted_after = 0;
  CountSegments(segments_after, retransmitted_after);
  path_.set_segments(segments_after - segments);
  path_.set_retransmitted(retransmitted_after - retransmitted);
  path_.set_down_bytes_per_second(MeasureThroughput(0, kTransferBytes));
}

void PathMeasure::ReadSettings() {
  // Log connections have a heartbeat, the others are pinged.
  const base::Duration said =
      std::min<base::Duration>(rpc::kKeepaliveEvery, context_.settings.Get().ship.heartbeat);
  path_.set_keepalive_ms(said / std::chrono::milliseconds(1));
  const auto text = env::ReadHead(context_.env, "/proc/sys/net/ipv4/tcp_keepalive_time", 32);
  int64_t seconds = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), seconds);
  path_.set_kernel_keepalive_ms(seconds * 1000);
  const auto probe = rpc::TcpProbe::Connect(path_.address(), kProbeLimit);
  if (probe.ok()) path_.set_mtu((*probe)->Mtu());
}

void PathMeasure::MeasureRoundTrips(rpc::AdminClient& client) {
  std::vector<int64_t> times;
  int64_t fastest_sent_ms = 0;
  int64_t fastest_there_ms = 0;
  for (uint32_t i = 0; i < kProbes && wanted_(); ++i) {
    path_.set_probes(path_.probes() + 1);
    const int64_t sent_ms = context_.env.WallNow().unix_ms;
    const base::SteadyTime sent = context_.env.Now();
    const auto answer = client.Probe(Request(kSmallBytes, kSmallBytes), kProbeLimit);
    if (!answer.ok()) {
      path_.set_lost(path_.lost() + 1);
      if (times.empty() && i >= 2) return;  // it will not get better
      continue;
    }
    const int64_t took = Microseconds(context_.env.Now() - sent);
    if (times.empty() || took < *std::ranges::min_element(times)) {
      fastest_sent_ms = sent_ms;
      fastest_there_ms = answer->received_ms();
    }
    times.push_back(took);
  }
  if (times.empty()) return;
  std::ranges::sort(times);
  path_.set_rtt_min_us(times.front());
  path_.set_rtt_median_us(times[times.size() / 2]);
  path_.set_rtt_max_us(times.back());
  // As NTP does: the answer was written half a round trip after the question was sent.
  path_.set_clock_ms(fastest_there_ms - fastest_sent_ms - times.front() / 2000);
  path_.set_clock_error_ms(times.front() / 2000 + 1);
}

void PathMeasure::MeasureLarge(rpc::AdminClient& client) {
  if (client.Probe(Request(kLargeBytes, kLargeBytes), kLargeLimit).ok()) return;
  // That connection may be stuck behind what was lost: is it the size, or the path?
  const auto fresh = Dial();
  path_.set_large_lost(fresh.ok() &&
                       (*fresh)->Probe(Request(kSmallBytes, kSmallBytes), kProbeLimit).ok());
}

uint64_t PathMeasure::MeasureThroughput(size_t payload, size_t answer) {
  const v1::ProbeRequest request = Request(payload, answer);
  const base::SteadyTime began = context_.env.Now();
  uint64_t bytes = 0;
  base::Result<std::unique_ptr<rpc::AdminClient>> client = Dial();
  uint32_t aborted = 0;
  while (client.ok() && wanted_() && bytes < kTransferredMax && aborted < kAbortedMax &&
         context_.env.Now() - began < kTransferFor) {
    path_.set_transfers(path_.transfers() + 1);
    if ((*client)->Probe(request, kTransferLimit).ok()) {
      bytes += std::max(payload, answer);
      continue;
    }
    ++aborted;
    client = Dial();
  }
  path_.set_aborted(path_.aborted() + aborted);
  const double seconds = std::chrono::duration<double>(context_.env.Now() - began).count();
  return seconds > 0 ? static_cast<uint64_t>(static_cast<double>(bytes) / seconds) : 0;
}

void PathMeasure::CountSegments(uint64_t& segments, uint64_t& retransmitted) {
  const auto snmp = env::ReadHead(context_.env, "/proc/self/net/snmp", kProcBytesMax);
  if (!snmp.ok()) return;
  segments = TcpCounter(*snmp, "OutSegs");
  retransmitted = TcpCounter(*snmp, "RetransSegs");
}

void PathMeasure::MeasureIdle(base::Duration max) {
  IdleSearch search(std::min(max, rpc::kTcpProbeIdleMax));
  for (auto times = search.NextRound(); !times.empty(); times = search.NextRound()) {
    for (const IdleFate& each : LeaveIdle(times)) {
      search.Note(each.idle, each.fate == rpc::TcpProbe::Fate::kAlive);
      if (each.fate == rpc::TcpProbe::Fate::kReset) path_.set_idle_reset(true);
    }
    if (!wanted_()) return;
  }
  path_.set_idle_survived_ms(search.survived() / std::chrono::milliseconds(1));
  path_.set_idle_died_ms(search.died() / std::chrono::milliseconds(1));
}

// All at the same time; one that is silent keeps no other waiting.
std::vector<PathMeasure::IdleFate> PathMeasure::LeaveIdle(
    const std::vector<base::Duration>& times) {
  std::vector<IdleFate> all;
  for (const base::Duration idle : times) {
    auto probe = rpc::TcpProbe::Connect(path_.address(), kProbeLimit);
    if (probe.ok()) all.push_back({.idle = idle, .probe = std::move(*probe)});
  }
  const base::SteadyTime began = context_.env.Now();
  bool undecided = !all.empty();
  while (undecided && wanted_()) {
    Pause(kLookInterval);
    undecided = false;
    const base::SteadyTime now = context_.env.Now();
    for (IdleFate& each : all) {
      if (each.poked == base::SteadyTime() && now - began >= each.idle) {
        each.probe->Poke();
        each.poked = now;
      }
      if (each.poked != base::SteadyTime()) each.fate = each.probe->Look();
      const bool waits = each.poked == base::SteadyTime() || now - each.poked < kPokeLimit;
      undecided = undecided || (each.fate == rpc::TcpProbe::Fate::kUnknown && waits);
    }
  }
  return all;
}

}  // namespace understudy::server
