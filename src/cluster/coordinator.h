// SPDX-License-Identifier: Apache-2.0
// Coordinator: the small, strongly consistent key-value store that a group keeps its state in.
//
// The interface is the part of etcd's that we need: keys with values, one revision for the whole
// store that grows with every transaction that changes something, compare-and-set transactions,
// leases, and "what changed since revision R". Implementations: EmbeddedCoordinator (a SQLite file
// in a directory that the daemons of one machine share) and etcd::EtcdCoordinator.
// testing/coordinator_contract.h says in tests what every implementation must do.
//
// Leases: a key put with a lease is deleted when the lease ends: it was revoked, or not kept alive
// for its TTL by the store's clock. A holder must stop relying on it by its own steady clock: TTL
// after the *start* of the last KeepAlive that succeeded. The store may keep a lease for longer
// than asked (etcd counts in seconds), never for less.
//
// Reads see every transaction that ended before they began, whoever made it. ChangesSince may be a
// moment behind, but misses nothing: what it has not told yet comes with a later call.
//
// Threading: thread-safe. Every call is bounded by the implementation's timeout.
// Errors: kUnavailable (nothing is known about whether a Txn took effect), kCorruption,
// kInvalidArgument (limits: coordinator_limits.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace understudy::cluster {

inline constexpr size_t kKeyBytesMax = 512;
inline constexpr size_t kValueBytesMax = 256 << 10;
inline constexpr size_t kTxnOperationsMax = 64;
inline constexpr size_t kTxnBytesMax = 1 << 20;  // keys and values; etcd refuses 1.5 MiB
// ChangesSince keeps at least this many changes; who asks for older ones lists anew.
inline constexpr uint64_t kChangesKept = 4096;

using Revision = int64_t;  // 0: nothing was ever written
using LeaseId = int64_t;   // 0: none

struct KeyValue {
  std::string key;
  std::string value;
  Revision created = 0;   // revision of the transaction that made the key
  Revision modified = 0;  // … and that put it last
  LeaseId lease = 0;
};

// A transaction's condition: the key was last put at `modified`; 0: it does not exist.
struct Compare {
  std::string key;
  Revision modified = 0;
};

struct Operation {
  std::string key;
  std::optional<std::string> value;  // nothing: delete
  LeaseId lease = 0;                 // of a put

  static Operation Put(std::string key, std::string value, LeaseId lease = 0) {
    return {std::move(key), std::move(value), lease};
  }
  static Operation Delete(std::string key) { return {std::move(key), std::nullopt, 0}; }
};

struct TxnResult {
  bool committed = false;  // false: a comparison failed and nothing was changed
  Revision revision = 0;   // the store's after the call
};

struct Change {
  std::string key;
  std::optional<std::string> value;  // nothing: deleted, or its lease ended
  Revision revision = 0;
};

struct Changes {
  Revision revision = 0;        // ask from here the next time
  bool complete = true;         // false: too old, `changes` is empty, list everything anew
  std::vector<Change> changes;  // in order
};

class Coordinator {
 public:
  virtual ~Coordinator() = default;

  // kNotFound when there is no such key.
  virtual base::Result<KeyValue> Get(const std::string& key) = 0;
  // All keys that begin with `prefix`, in order of the key's bytes, as of one revision.
  virtual base::Result<std::vector<KeyValue>> List(const std::string& prefix) = 0;
  // All operations when all comparisons hold, else none. An operation with a lease that has ended
  // fails the whole transaction with kNotFound. No key may be in two operations.
  virtual base::Result<TxnResult> Txn(const std::vector<Compare>& compares,
                                      const std::vector<Operation>& operations) = 0;

  virtual base::Result<LeaseId> GrantLease(base::Duration ttl) = 0;
  // kNotFound when the lease has ended: its keys are gone.
  virtual base::Status KeepAlive(LeaseId lease) = 0;
  virtual base::Status RevokeLease(LeaseId lease) = 0;  // fine when it has ended already

  virtual base::Result<Revision> CurrentRevision() = 0;
  // What changed after `revision`; cheap when nothing did. Polled by one thread of the server.
  virtual base::Result<Changes> ChangesSince(Revision revision) = 0;
  // `wakeup` is called, from any thread and without a lock held, when ChangesSince may have news:
  // the poller need not wait for its next round. An implementation that cannot know never calls it.
  // It may be called until the coordinator is destroyed, so it owns what it uses.
  virtual void SetWakeup([[maybe_unused]] std::function<void()> wakeup) {}
};

}  // namespace understudy::cluster
