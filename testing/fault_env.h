// SPDX-License-Identifier: Apache-2.0
// FaultEnv: an Env that passes everything on to another one and fails the operation you choose.
//
// One FaultPlan is armed at a time: "the 3rd Sync or SyncDirectory whose path contains 'log'
// returns kIoError, and so does everything after it". With FailEachOperation a test fails the 1st,
// 2nd, … operation until a run goes through without a failure.
// A Sync that fails leaves data unknown: over MemEnv the pages are marked clean, as Linux does, so
// that a later Sync returns ok and brings nothing to disk (env/env.h, invariant 3).
//
// Threading: thread-safe. It must outlive its Files; the Env below must outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "env/env.h"

namespace understudy::test {

enum class Op : uint32_t {
  kOpen = 1 << 0,  // and Clone
  kRead = 1 << 1,
  kWrite = 1 << 2,
  kSync = 1 << 3,
  kTruncate = 1 << 4,
  kSize = 1 << 5,
  kClose = 1 << 6,
  kStat = 1 << 7,
  kList = 1 << 8,
  kMakeDirectories = 1 << 9,
  kRename = 1 << 10,  // and RenameNew
  kRemove = 1 << 11,  // and RemoveDirectory
  kSyncDirectory = 1 << 12,
  kFreeSpace = 1 << 13,
  kLock = 1 << 14,
  kSetModified = 1 << 15,
};
inline constexpr uint32_t kOpCount = 16;

struct OpSet {
  uint32_t bits = 0;
  constexpr OpSet() = default;
  constexpr OpSet(Op op) : bits(static_cast<uint32_t>(op)) {}  // one kind is a set
  constexpr explicit OpSet(uint32_t b) : bits(b) {}
  constexpr bool Has(Op op) const { return (bits & static_cast<uint32_t>(op)) != 0; }
};
constexpr OpSet operator|(OpSet a, OpSet b) { return OpSet(a.bits | b.bits); }
constexpr OpSet operator|(Op a, Op b) { return OpSet(a) | OpSet(b); }
inline constexpr OpSet kAllOps = OpSet((1u << kOpCount) - 1);
// What changes the disk: the usual choice for a crash at every step.
inline constexpr OpSet kChangingOps = Op::kOpen | Op::kWrite | Op::kSync | Op::kTruncate |
                                      Op::kMakeDirectories | Op::kRename | Op::kRemove |
                                      Op::kSyncDirectory | Op::kSetModified;

// How much of the failing operation took place.
enum class Effect {
  kNone,     // nothing
  kPartial,  // a write: about half of its bytes; anything else: nothing
  kWhole,    // all of it, and yet it reports failure (a Sync excepted: it never syncs)
};

struct FaultPlan {
  OpSet ops = kAllOps;
  uint64_t nth = 1;         // of the operations that match, counted since Arm; 1 is the first
  bool for_ever = false;    // later matching operations fail too
  bool halt_after = false;  // every operation of any kind after it fails: the process is as dead
  std::string path_contains = {};  // only paths that contain this
  base::Status status = base::IoError("injected fault");
  Effect effect = Effect::kNone;
};

class FaultEnv : public env::Env {
 public:
  explicit FaultEnv(env::Env& below) : below_(below) {}

  // Replaces the plan and starts counting matches from zero.
  void Arm(FaultPlan plan);
  void Disarm();
  // Whether the armed plan has failed at least one operation.
  bool fired() const;
  // Operations of these kinds seen since construction, failed ones included.
  uint64_t Count(OpSet ops) const;
  // From now on about one ReadAt in `one_in` gets one bit of its answer flipped; 0 ends it.
  void FlipReads(uint64_t seed, uint64_t one_in);

  base::Result<std::unique_ptr<env::File>> Open(const std::string& path,
                                                env::OpenMode mode) override;
  base::Result<env::FileStat> Stat(const std::string& path) override;
  base::Result<std::vector<std::string>> List(const std::string& directory) override;
  base::Status MakeDirectories(const std::string& path) override;
  base::Status Rename(const std::string& from, const std::string& to) override;
  base::Status RenameNew(const std::string& from, const std::string& to) override;
  base::Status Remove(const std::string& path) override;
  base::Status RemoveDirectory(const std::string& path) override;
  base::Status SyncDirectory(const std::string& path) override;
  base::Result<env::Space> FreeSpace(const std::string& path) override;
  base::Result<std::unique_ptr<env::FileLock>> Lock(const std::string& path) override;
  base::Status SetModified(const std::string& path, base::WallTime time) override;
  base::Status Clone(const std::string& from, const std::string& to) override;

  base::SteadyTime Now() override { return below_.Now(); }
  base::WallTime WallNow() override { return below_.WallNow(); }
  uint64_t Random() override { return below_.Random(); }

 private:
  friend class FaultFile;
  struct Verdict {
    base::Status status;  // ok: pass on
    Effect effect = Effect::kNone;
  };
  Verdict Judge(Op op, const std::string& path);
  // Judges, and runs `operation` as far as the verdict says.
  base::Status Pass(Op op, const std::string& path, const std::function<base::Status()>& operation);
  void MaybeFlip(std::span<uint8_t> bytes);

  env::Env& below_;

  mutable base::Mutex mutex_;
  bool armed_ GUARDED_BY(mutex_) = false;
  bool fired_ GUARDED_BY(mutex_) = false;
  FaultPlan plan_ GUARDED_BY(mutex_);
  uint64_t matches_ GUARDED_BY(mutex_) = 0;
  uint64_t counts_[kOpCount] GUARDED_BY(mutex_) = {};
  std::mt19937_64 flips_ GUARDED_BY(mutex_);
  uint64_t flip_one_in_ GUARDED_BY(mutex_) = 0;
};

// Calls run(plan) with plan.nth = 1, 2, … until a run in which nothing failed; `run` makes its own
// world, arms the plan, and returns fault_env.fired(). Returns the number of runs that saw a
// failure. Stops the process (a bug of the test) when `runs_max` is not enough.
uint64_t FailEachOperation(FaultPlan plan, uint64_t runs_max,
                           const std::function<bool(const FaultPlan&)>& run);

}  // namespace understudy::test
