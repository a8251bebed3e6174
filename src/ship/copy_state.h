// SPDX-License-Identifier: Apache-2.0
// The states of a passive copy as far as log copying decides them, and the one function that moves
// between them.
//
//   Initializing --connected--> Resynchronizing --accepted--> Healthy
//        ^                        |    ^  |                    |   |
//        |            disconnected|    |  +---- rejected ------+   |disconnected
//        |                        v    |connected                  v
//        |     DisconnectedAndResynchronizing <--connected-- DisconnectedAndHealthy
//        |                                     (to Resynchronizing)
//        +-- recheck -- Failed <-- gave up -- (any but Suspended)
//   (any) --suspend--> Suspended, or FailedAndSuspended from Failed; resume --> Initializing
//   (any) --seed begins--> Seeding --seed ends--> Initializing; connections do not matter meanwhile
//
// Threading: pure functions.
#pragma once

#include <optional>
#include <string_view>

namespace understudy::ship {

enum class CopyState {
  kInitializing,
  kResynchronizing,
  kHealthy,
  kDisconnectedAndHealthy,
  kDisconnectedAndResynchronizing,
  kSeeding,
  kFailed,
  kFailedAndSuspended,
  kSuspended,
};

enum class CopyEvent {
  kConnected,     // a channel is there and Subscribe was sent
  kAccepted,      // the source accepted our position
  kRejected,      // the inspector rejected something and asked again
  kDisconnected,  // the channel is gone
  kGaveUp,        // refused, or rejected too often, or our own log cannot be written
  kRecheck,       // a failed copy tries again
  kSuspend,
  kResume,
  kSeedBegin,
  kSeedEnd,
};

// The state after `event`, or nothing where that event must not happen in that state (a bug of
// ours; the caller CHECKs).
std::optional<CopyState> NextCopyState(CopyState state, CopyEvent event);

std::string_view CopyStateName(CopyState state);  // "DisconnectedAndHealthy"
std::string_view CopyEventName(CopyEvent event);

}  // namespace understudy::ship
