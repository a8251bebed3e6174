// SPDX-License-Identifier: Apache-2.0
#include "capture/pin_keeper.h"

#include "base/planted.h"

namespace understudy::capture {

using base::Result;
using base::Status;

bool PinKeeper::IsComplete(const WalCursor& captured) const {
  if (PLANTED("pin-released-early")) return true;
  const std::optional<sqlite::WalIndexHeader> header = index_.ReadHeader();
  if (!header) return false;
  if (header->mx_frame == 0) return true;  // nothing there that could be lost
  return header->wal_salts() == captured.salts && header->mx_frame == captured.frame &&
         index_.backfilled() == captured.frame;
}

Status PinKeeper::BeforeCapture(const WalCursor& captured, bool hold_off, base::SteadyTime now) {
  if (only_s() || holding_off()) return Status();
  if (!pins_.has_s()) {
    const std::optional<sqlite::WalIndexHeader> header = index_.ReadHeader();
    // A header that stays half-written needs a recovery, which needs CKPT: rule 7.
    const bool news = !header || (header->mx_frame != 0 && (header->wal_salts() != captured.salts ||
                                                            header->mx_frame != captured.frame));
    if (!news) return Status();
    ASSIGN_OR_RETURN(const bool pinned, pins_.TryTakeS());
    if (!pinned) return Status();  // K or Z goes on protecting what is there
    still_since_ = now;
    still_change_ = index_.change_hint();
  }
  if (pins_.has_z()) return LeaveZ(now);
  if (!hold_off) pins_.DropK();  // rule 4
  return Status();
}

// Rules 5 and 6. Who found nBackfill == mxFrame before the restart and goes on after it must fail
// to get READ_LOCK(0), so Z stays until nobody can be such a checkpointer.
Status PinKeeper::LeaveZ(base::SteadyTime now) {
  ASSIGN_OR_RETURN(const bool alone, pins_.TryTakeK());
  if (alone) {
    pins_.DropZ();
    pins_.DropK();
    return Status();
  }
  const uint32_t change = index_.change_hint();
  if (change != still_change_) {
    still_change_ = change;
    still_since_ = now;
  }
  if (now - still_since_ < kWriterStillAfter) return Status();
  ASSIGN_OR_RETURN(const bool nobody_writes, pins_.WriteLockIsFree());
  if (nobody_writes) {
    still_since_ = now;
    return Status();
  }
  pins_.DropZ();
  return Status();
}

Result<bool> PinKeeper::HoldOff() {
  CHECK(only_s() || holding_off());
  return pins_.TryTakeK();
}

void PinKeeper::LetOthersCheckpoint() {
  if (holding_off()) pins_.DropK();
}

// Verified under Z and the pin that is held: rule 2.
Result<bool> PinKeeper::TakeZIfComplete(const WalCursor& captured) {
  ASSIGN_OR_RETURN(const bool z, pins_.TryTakeZ());
  if (!z || IsComplete(captured)) return z;
  pins_.DropZ();
  return false;
}

Result<bool> PinKeeper::TradeKForZ(const WalCursor& captured) {
  CHECK(only_k());
  ASSIGN_OR_RETURN(const bool z, TakeZIfComplete(captured));
  if (z) pins_.DropK();
  return z;
}

Status PinKeeper::TradeZForK() {
  ASSIGN_OR_RETURN(const bool k, pins_.TryTakeK());
  if (k) pins_.DropZ();
  return Status();
}

Result<bool> PinKeeper::TryLeaveS(const WalCursor& captured, base::SteadyTime now) {
  if (!(only_s() || holding_off()) || !IsComplete(captured)) {
    checkpoint_busy_since_ = {};
    return false;
  }
  ASSIGN_OR_RETURN(const bool k, pins_.TryTakeK());
  if (k) {
    checkpoint_busy_since_ = {};
    if (!IsComplete(captured)) {  // verified under both pins: rule 2
      pins_.DropK();
      return false;
    }
    pins_.DropS();
    ++left_by_k_;
    return true;
  }
  if (checkpoint_busy_since_ == base::SteadyTime{}) checkpoint_busy_since_ = now;
  if (now - checkpoint_busy_since_ < kPatienceBeforeZ) return false;
  ASSIGN_OR_RETURN(const bool z, TakeZIfComplete(captured));
  if (!z) return false;
  pins_.DropS();
  checkpoint_busy_since_ = {};
  ++left_by_z_;
  return true;
}

}  // namespace understudy::capture
