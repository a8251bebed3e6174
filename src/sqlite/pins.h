// SPDX-License-Identifier: Apache-2.0
// Pins: the raw wal-index locks that keep a WAL from being restarted under its reader.
//
//   S  SHARED on a READ_LOCK(i), i = 4 if free, whose mark is set to unused under EXCLUSIVE first.
//      No restart and no truncation; checkpoints and readers go on as if it were not there.
//   K  EXCLUSIVE on CKPT_LOCK. One restart possible, then no backfill, hence no second restart.
//   Z  SHARED on READ_LOCK(0). The same as K, while somebody else holds CKPT_LOCK.
//
// This class takes and releases them and knows no more; when which may be left is decided by
// capture/pin_keeper.h, by the rules of docs/design/0001-capture-pins.md. Everything is tried once
// and never waits. Destruction releases everything.
// Threading: thread-compatible. The WalIndex must outlive it; its connection does nothing else.
#pragma once

#include <string>

#include "base/status.h"
#include "sqlite/wal_index.h"

namespace understudy::sqlite {

class Pins {
 public:
  explicit Pins(const WalIndex& index) : index_(index) {}
  ~Pins();
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;

  // False: cannot be had right now (for S: readers use all four marks).
  base::Result<bool> TryTakeS();
  base::Result<bool> TryTakeK();
  base::Result<bool> TryTakeZ();
  void DropS();
  void DropK();
  void DropZ();

  bool has_s() const { return slot_ != 0; }
  bool has_k() const { return k_; }
  bool has_z() const { return z_; }
  bool any() const { return has_s() || k_ || z_; }
  std::string ToString() const;  // "S", "S+Z", … or "none"

  // WRITE_LOCK itself, for an instant in which nobody shall commit: no pin, and cheaper to try than
  // a transaction, which matters where a writer leaves it free for microseconds.
  base::Result<bool> TryTakeWrite();
  void DropWrite();

  // Whether nobody holds WRITE_LOCK at this moment; takes it for a microsecond to find out.
  base::Result<bool> WriteLockIsFree();

 private:
  const WalIndex& index_;
  int slot_ = 0;  // S is READ_LOCK(slot_); 0: not held
  bool k_ = false;
  bool z_ = false;
  bool write_ = false;
};

}  // namespace understudy::sqlite
