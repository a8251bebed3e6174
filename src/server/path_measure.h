// SPDX-License-Identifier: Apache-2.0
// PathMeasure: measures the path from this server to one other
// (docs/design/0034-diagnosing-a-path.md): round trips, clocks, large messages, throughput both
// ways, the path's MTU, and how long a connection may be idle. Bounded in bytes, time and
// connections by the constants below.
//
// Connections are made anew for each step, to the port that the other's connections use, because
// that is what devices on the way go by. Threading: confined to one thread. Errors: what cannot be
// measured is said in the path.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rpc/admin_client.h"
#include "rpc/tcp_probe.h"
#include "server/context.h"

namespace understudy::server {

class PathMeasure {
 public:
  static constexpr uint32_t kProbes = 20;
  static constexpr base::Duration kProbeLimit = std::chrono::seconds(3);
  static constexpr size_t kLargeBytes = 64 << 10;  // more than any packet
  static constexpr base::Duration kLargeLimit = std::chrono::seconds(5);
  static constexpr size_t kTransferBytes = 512 << 10;
  static constexpr uint64_t kTransferredMax = 64 << 20;  // each way
  static constexpr base::Duration kTransferFor = std::chrono::milliseconds(1500);
  static constexpr base::Duration kTransferLimit = std::chrono::seconds(5);
  static constexpr uint32_t kAbortedMax = 3;
  static constexpr base::Duration kPokeLimit = std::chrono::seconds(3);

  // `wanted`: false ends it. Both are borrowed.
  PathMeasure(const ServerContext& context, std::function<bool()> wanted, v1::NetworkPath& path)
      : context_(context), wanted_(std::move(wanted)), path_(path) {}

  // Everything but the idle times. Sets path.error when the server cannot be reached at all.
  void MeasureTraffic();
  // Takes as long as IdleSearch::longest().
  void MeasureIdle(base::Duration max);

 private:
  base::Result<std::unique_ptr<rpc::AdminClient>> Dial();
  void MeasureRoundTrips(rpc::AdminClient& client);
  void MeasureLarge(rpc::AdminClient& client);
  uint64_t MeasureThroughput(size_t payload, size_t answer);  // bytes a second
  void CountSegments(uint64_t& segments, uint64_t& retransmitted);
  void ReadSettings();
  struct IdleFate {
    base::Duration idle{};
    std::unique_ptr<rpc::TcpProbe> probe = {};
    base::SteadyTime poked = {};
    rpc::TcpProbe::Fate fate = rpc::TcpProbe::Fate::kUnknown;  // … or silent
  };
  std::vector<IdleFate> LeaveIdle(const std::vector<base::Duration>& times);

  const ServerContext& context_;
  const std::function<bool()> wanted_;
  v1::NetworkPath& path_;
};

}  // namespace understudy::server
