// SPDX-License-Identifier: Apache-2.0
// PinKeeper: decides when which pin (sqlite/pins.h) is held, by the rules of
// docs/design/0001-capture-pins.md (rule 9: 0005), which the code cites as rule N.
// tests/model/pins.pml proves them.
//
//                     frames of a new run, or the old one grew
//          +--------------------- BeforeCapture ---------------------+
//          v                                                         |
//          S  --TryLeaveS: complete, CKPT free--------------------->  K
//          S  --TryLeaveS: complete, CKPT held by somebody else---->  Z
//          S+Z  <--BeforeCapture (frames)----------------------------  Z
//          S+Z  --CKPT taken and dropped, or its holder has WRITE-->  S
//          S  <--LetOthersCheckpoint--  S+K  <--HoldOff-----------  S
//          S+K  --TryLeaveS: complete------------------------------>  K
//
// "Complete": captured == mxFrame == nBackfill.
// Threading: as Pins.
#pragma once

#include "base/status.h"
#include "base/time.h"
#include "capture/wal_scan.h"
#include "sqlite/pins.h"

namespace understudy::capture {

// Z is taken only after CKPT_LOCK was held by somebody else for so long: a checkpoint that is about
// to end should give us K instead.
inline constexpr base::Duration kPatienceBeforeZ = std::chrono::microseconds(500);
// In S+Z the holder of CKPT_LOCK is taken to have WRITE_LOCK too (rule 6) when WRITE_LOCK is not
// free and nothing was committed for so long.
inline constexpr base::Duration kWriterStillAfter = std::chrono::milliseconds(50);

class PinKeeper {
 public:
  PinKeeper(const sqlite::WalIndex& index, sqlite::Pins& pins) : index_(index), pins_(pins) {}

  // Rules 4 to 6: takes S if there is something new to read, and gives K or Z up once that is safe.
  // With `hold_off` K stays (rule 9).
  base::Status BeforeCapture(const WalCursor& captured, bool hold_off, base::SteadyTime now);
  // Rule 9: nobody else checkpoints while S is held. False: somebody does right now.
  // REQUIRES: only_s() or holding_off().
  base::Result<bool> HoldOff();
  void LetOthersCheckpoint();

  // Rule 3 the other way round: from K to Z and back, so that we can checkpoint in a state that
  // allows a restart. False: K stays (somebody checkpoints or commits right now).
  // REQUIRES: only_k().
  base::Result<bool> TradeKForZ(const WalCursor& captured);
  base::Status TradeZForK();

  // Rules 2 and 3. True: S was left; the WAL may be restarted once.
  // REQUIRES: everything up to `captured` was appended to the log.
  base::Result<bool> TryLeaveS(const WalCursor& captured, base::SteadyTime now);

  bool IsComplete(const WalCursor& captured) const;
  bool only_s() const { return pins_.has_s() && !pins_.has_k() && !pins_.has_z(); }
  bool only_k() const { return pins_.has_k() && !pins_.has_s() && !pins_.has_z(); }
  bool holding_off() const { return pins_.has_s() && pins_.has_k(); }

  // Waiting for somebody else's checkpoint: call again within a millisecond.
  bool unsettled() const {
    return (pins_.has_s() && pins_.has_z()) || checkpoint_busy_since_ != base::SteadyTime{};
  }

  uint64_t left_by_k() const { return left_by_k_; }
  uint64_t left_by_z() const { return left_by_z_; }

 private:
  base::Status LeaveZ(base::SteadyTime now);
  base::Result<bool> TakeZIfComplete(const WalCursor& captured);

  const sqlite::WalIndex& index_;
  sqlite::Pins& pins_;
  base::SteadyTime checkpoint_busy_since_{};  // zero: CKPT was not found busy
  base::SteadyTime still_since_{};
  uint32_t still_change_ = 0;
  uint64_t left_by_k_ = 0;
  uint64_t left_by_z_ = 0;
};

}  // namespace understudy::capture
