// SPDX-License-Identifier: Apache-2.0
#include "ship/copy_state.h"

#include "base/check.h"

namespace understudy::ship {
namespace {

using S = CopyState;
using E = CopyEvent;

bool IsSuspended(S state) { return state == S::kSuspended || state == S::kFailedAndSuspended; }
bool IsDisconnected(S state) {
  return state == S::kInitializing || state == S::kDisconnectedAndHealthy ||
         state == S::kDisconnectedAndResynchronizing;
}

std::optional<S> OnDisconnect(S state) {
  switch (state) {
    case S::kHealthy: return S::kDisconnectedAndHealthy;
    case S::kResynchronizing: return S::kDisconnectedAndResynchronizing;
    case S::kInitializing:
    case S::kDisconnectedAndHealthy:
    case S::kDisconnectedAndResynchronizing:
    case S::kSeeding:
    case S::kFailed:
    case S::kFailedAndSuspended:
    case S::kSuspended: return state;
  }
  return std::nullopt;
}

}  // namespace

std::optional<CopyState> NextCopyState(CopyState state, CopyEvent event) {
  const bool seeding = state == S::kSeeding;
  switch (event) {
    case E::kConnected:
      if (seeding) return state;
      return IsDisconnected(state) ? std::optional(S::kResynchronizing) : std::nullopt;
    case E::kAccepted:
      if (seeding) return state;
      return state == S::kResynchronizing ? std::optional(S::kHealthy) : std::nullopt;
    case E::kRejected:
      if (seeding) return state;
      return state == S::kHealthy || state == S::kResynchronizing
                 ? std::optional(S::kResynchronizing)
                 : std::nullopt;
    case E::kDisconnected: return OnDisconnect(state);
    case E::kGaveUp: return IsSuspended(state) ? std::nullopt : std::optional(S::kFailed);
    case E::kRecheck: return state == S::kFailed ? std::optional(S::kInitializing) : std::nullopt;
    case E::kSuspend:
      if (IsSuspended(state)) return state;
      return state == S::kFailed ? S::kFailedAndSuspended : S::kSuspended;
    case E::kResume: return IsSuspended(state) ? std::optional(S::kInitializing) : std::nullopt;
    case E::kSeedBegin: return S::kSeeding;
    // A seed that failed, or a copy that was suspended meanwhile, keeps that state.
    case E::kSeedEnd: return seeding ? S::kInitializing : state;
  }
  return std::nullopt;
}

std::string_view CopyStateName(CopyState state) {
  switch (state) {
    case S::kInitializing: return "Initializing";
    case S::kResynchronizing: return "Resynchronizing";
    case S::kHealthy: return "Healthy";
    case S::kDisconnectedAndHealthy: return "DisconnectedAndHealthy";
    case S::kDisconnectedAndResynchronizing: return "DisconnectedAndResynchronizing";
    case S::kSeeding: return "Seeding";
    case S::kFailed: return "Failed";
    case S::kFailedAndSuspended: return "FailedAndSuspended";
    case S::kSuspended: return "Suspended";
  }
  return "?";
}

std::string_view CopyEventName(CopyEvent event) {
  switch (event) {
    case E::kConnected: return "connected";
    case E::kAccepted: return "accepted";
    case E::kRejected: return "rejected";
    case E::kDisconnected: return "disconnected";
    case E::kGaveUp: return "gave up";
    case E::kRecheck: return "recheck";
    case E::kSuspend: return "suspend";
    case E::kResume: return "resume";
    case E::kSeedBegin: return "seed begins";
    case E::kSeedEnd: return "seed ends";
  }
  return "?";
}

}  // namespace understudy::ship
