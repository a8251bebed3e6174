// SPDX-License-Identifier: Apache-2.0
// Versions and limits of the wire that both ends of a connection must know.
//
// A protocol version changes when an old peer would misunderstand a new one; fields that an old
// peer may ignore do not change it. Threading: constants.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace understudy::rpc {

inline constexpr std::string_view kVersion = "0.1.0";
inline constexpr uint32_t kAdminProtocolVersion = 1;
inline constexpr uint32_t kShipProtocolVersion = 2;  // 2: pieces, ShipReceived

// A ship message holds at most a few log parts (1 MiB each) or one seed chunk; anything longer is
// refused unread.
inline constexpr int kMessageBytesMax = 16 << 20;

// Pings keep the idle timers of middleboxes from firing and find a peer that is gone.
inline constexpr std::chrono::milliseconds kKeepaliveEvery{10'000};
inline constexpr std::chrono::milliseconds kKeepaliveTimeout{5'000};

inline constexpr std::chrono::milliseconds kConnectTimeoutDefault{3'000};
inline constexpr std::chrono::milliseconds kCallTimeoutDefault{15'000};
// For calls that read a whole database or repository directory.
inline constexpr std::chrono::milliseconds kLongCallTimeout{300'000};
// What Wait uses when the request names no limit.
inline constexpr std::chrono::milliseconds kWaitTimeoutDefault{30'000};

}  // namespace understudy::rpc
