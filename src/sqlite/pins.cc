// SPDX-License-Identifier: Apache-2.0
#include "sqlite/pins.h"

namespace understudy::sqlite {

using base::Result;
using Mode = WalIndex::Mode;

Pins::~Pins() {
  DropWrite();
  DropZ();
  DropK();
  DropS();
}

Result<bool> Pins::TryTakeS() {
  if (has_s()) return true;
  for (int slot = kReadMarks - 1; slot >= 1; --slot) {
    ASSIGN_OR_RETURN(const bool alone, index_.TryLock(kLockRead0 + slot, Mode::kExclusive));
    if (!alone) continue;
    index_.SetReadMark(slot, kReadMarkUnused);
    index_.Unlock(kLockRead0 + slot, Mode::kExclusive);
    ASSIGN_OR_RETURN(const bool shared, index_.TryLock(kLockRead0 + slot, Mode::kShared));
    if (!shared) continue;
    if (index_.read_mark(slot) == kReadMarkUnused) {
      slot_ = slot;
      return true;
    }
    index_.Unlock(kLockRead0 + slot, Mode::kShared);  // a reader set the mark in between
  }
  return false;
}

Result<bool> Pins::TryTakeK() {
  if (!k_) {
    ASSIGN_OR_RETURN(k_, index_.TryLock(kLockCheckpoint, Mode::kExclusive));
  }
  return k_;
}

Result<bool> Pins::TryTakeZ() {
  if (!z_) {
    ASSIGN_OR_RETURN(z_, index_.TryLock(kLockRead0, Mode::kShared));
  }
  return z_;
}

void Pins::DropS() {
  if (slot_ != 0) index_.Unlock(kLockRead0 + slot_, Mode::kShared);
  slot_ = 0;
}

void Pins::DropK() {
  if (k_) index_.Unlock(kLockCheckpoint, Mode::kExclusive);
  k_ = false;
}

void Pins::DropZ() {
  if (z_) index_.Unlock(kLockRead0, Mode::kShared);
  z_ = false;
}

std::string Pins::ToString() const {
  std::string text;
  const auto add = [&text](bool held, const char* name) {
    if (!held) return;
    if (!text.empty()) text += '+';
    text += name;
  };
  add(has_s(), "S");
  add(k_, "K");
  add(z_, "Z");
  return text.empty() ? "none" : text;
}

Result<bool> Pins::TryTakeWrite() {
  if (!write_) {
    ASSIGN_OR_RETURN(write_, index_.TryLock(kLockWrite, Mode::kExclusive));
  }
  return write_;
}

void Pins::DropWrite() {
  if (write_) index_.Unlock(kLockWrite, Mode::kExclusive);
  write_ = false;
}

Result<bool> Pins::WriteLockIsFree() {
  ASSIGN_OR_RETURN(const bool free, index_.TryLock(kLockWrite, Mode::kExclusive));
  if (free) index_.Unlock(kLockWrite, Mode::kExclusive);
  return free;
}

}  // namespace understudy::sqlite
