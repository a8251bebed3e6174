// SPDX-License-Identifier: Apache-2.0
// LeaseMarks: which leases of others have ended by our own clock, although etcd keeps them still.
//
// etcd gives every lease its whole time again, and an election more, whenever it elects a leader;
// so when the server that dies is also etcd's leader, its lease would last for half as long again.
// Therefore every lease has a mark, a key that each renewal puts anew, if it is still there. Who
// has seen a mark unchanged for the lease's time and a margin knows that the holder has stopped
// relying on it: the holder counts from the start of its renewal, which was before we saw the mark.
// It ends the lease by deleting the mark as it saw it, in a transaction: a renewal that came first
// makes that fail, one that comes later finds no mark, and fails.
//
// When etcd itself was away, nobody could renew, and all marks are old. So etcd must have answered
// us a grace before (WantsAnswer, Answered): in that time the holders renew.
//
// Threading: for one thread. Limits: kMarksMax; leases beyond that end when etcd says so.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "cluster/coordinator.h"

namespace understudy::etcd {

class LeaseMarks {
 public:
  static constexpr std::string_view kPrefix = "renewed/";  // of the marks' keys
  static constexpr size_t kMarksMax = 4096;
  static constexpr base::Duration kGraceMin = std::chrono::seconds(1);
  static constexpr base::Duration kTtlMax = std::chrono::hours(24);

  struct Mark {
    cluster::LeaseId lease = 0;
    cluster::Revision modified = 0;
  };

  // The key of a lease's mark, below the group's prefix, and its value.
  static std::string Key(cluster::LeaseId lease);
  static std::string Value(base::Duration ttl);
  static bool IsKey(std::string_view key);

  // `key` was put with `value` in revision `modified`, or is gone; as we learn at `now`.
  void Saw(std::string_view key, const std::optional<std::string>& value,
           cluster::Revision modified, base::SteadyTime now);
  // Keeps only those of `keys`, which are all there are.
  void KeepOnly(const std::vector<cluster::KeyValue>& keys);

  void Forget(cluster::LeaseId lease) { marks_.erase(lease); }

  // A lease may end soon: is etcd there? Answered says that it was, at `now`.
  bool WantsAnswer(base::SteadyTime now) const;
  void Answered(base::SteadyTime now);
  // The leases that have ended. They are told until their marks are seen to be gone.
  std::vector<Mark> Ended(base::SteadyTime now) const;

 private:
  struct Seen {
    cluster::Revision modified = 0;
    base::Duration ttl{0};
    base::SteadyTime since;
    std::optional<base::SteadyTime> answered;  // within the last grace of the lease, or later
  };
  static base::Duration Grace(base::Duration ttl);
  static base::Duration Margin(base::Duration ttl);
  static bool IsLate(const Seen& seen, base::SteadyTime now);

  std::map<cluster::LeaseId, Seen> marks_;
};

}  // namespace understudy::etcd
