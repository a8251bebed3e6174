// SPDX-License-Identifier: Apache-2.0
// ObjectLock: one holder among all hosts that share a store.
//
// The lock is a folder of objects with growing numbers; the one with the highest number is the
// lock, its content says who holds it, or that it was released:
//
//   none or released --PutMode::kNew of the next number--> held --replace own--> released
//   held, unchanged for its lease --PutMode::kNew of the next number--> held by somebody else
//
// Only one can make a number, and only its holder writes to it, so nothing else has to be atomic.
// That a holder is gone is judged by the taker's steady clock: since it saw the content first, it
// has not changed for the lease. Clocks of two hosts are never compared. A holder that also held a
// lock file of its host (HostProof) is known to be gone by whoever holds that same file now.
//
// A holder that is not gone but was silent for too long learns of it by Check. It must Check before
// and after what others rely on. Threading: thread-compatible. Errors: kBusy (its message names the
// holder), kFenced (Check: it was taken over), those of the store.
#pragma once

#include <memory>
#include <string>

#include "store/object_store.h"
#include "store/pause.h"

namespace understudy::store {

inline constexpr base::Duration kLockLease = std::chrono::minutes(5);
inline constexpr base::Duration kLockRenewEvery = std::chrono::seconds(15);
inline constexpr base::Duration kLockLookEvery = std::chrono::seconds(1);

// A file that is locked on this host for as long as the lock is wanted: whoever has it knows that
// who had it before is gone.
struct HostProof {
  std::unique_ptr<env::FileLock> lock;
  std::string file;  // which one it is: no two of a running machine are equal
};
// `directory` is made. kBusy while somebody else of this host has the file.
base::Result<HostProof> LockFileOnHost(env::Env& env, const std::string& directory,
                                       const std::string& name);

struct LockOptions {
  std::string folder = {};  // of the lock, "orders/lock"
  std::string what = {};    // "another backup of orders"
  // Held on this host (ObjectStore::LockOnHost, or `host_file`): whoever of this host is in the
  // lock with the same file is gone.
  bool host_is_ours = false;
  // HostProof::file; empty: the file belongs to the store, so that it is the same for the whole
  // host.
  std::string host_file = {};
  // Whether to watch a holder that may be gone, which takes up to its lease.
  bool take_over = true;
};

class ObjectLock {
 public:
  static base::Result<std::unique_ptr<ObjectLock>> Acquire(env::Env& env, ObjectStore& store,
                                                           const Pause& pause,
                                                           const LockOptions& options);
  ~ObjectLock();  // releases, best effort: otherwise it is taken over

  // Says that the holder lives, every kLockRenewEvery; in between it does nothing. Failures only
  // make it more likely that somebody takes over, which Check notices.
  void RenewIfDue();
  // kFenced unless it is still held.
  base::Status Check();

 private:
  ObjectLock(env::Env& env, ObjectStore& store, LockOptions options)
      : env_(env), store_(store), options_(std::move(options)) {}
  std::string KeyOf(uint64_t number) const;
  base::Result<uint64_t> Highest();
  std::string Content(bool released) const;
  base::Status TryOnce(const Pause& pause, bool& again);
  base::Status Watch(const Pause& pause, uint64_t number, base::Bytes seen);
  base::Status Make(uint64_t number, bool& again);
  void RemoveBelow(uint64_t number);

  env::Env& env_;
  ObjectStore& store_;
  const LockOptions options_;
  std::string host_;
  std::string id_;
  uint64_t number_ = 0;  // 0: not held
  uint64_t renewals_ = 0;
  base::SteadyTime renewed_;
};

}  // namespace understudy::store
