// SPDX-License-Identifier: Apache-2.0
// ChangeBuffer: the last changes that a watch has brought, in order, so that ChangesSince can be
// answered without asking etcd.
//
//     from ........ upto          told: every change after `from`, up to and including `upto`
//                        ....     not yet told: changes of a revision that is not complete
//
// Invariants: 1. everything after `from` is here or was not heard of yet; who asks for less gets
// complete = false. 2. A revision is told whole. Limits: kChangesMax changes, kBytesMax of keys and
// values; what is older is dropped, whole revisions at a time.
// Threading: thread-compatible.
#pragma once

#include <deque>

#include "cluster/coordinator.h"

namespace understudy::etcd {

class ChangeBuffer {
 public:
  static constexpr size_t kChangesMax = cluster::kChangesKept + cluster::kTxnOperationsMax;
  static constexpr size_t kBytesMax = 16 << 20;

  // Begins, or begins anew after a hole: what is up to and including `revision` is not here.
  void Restart(cluster::Revision revision);
  // REQUIRES: in the order of revisions, after what is here.
  void Add(cluster::Change change);
  // All changes of what was added are here.
  void Complete();
  // The watch was lost: what is not complete will come again.
  void DropIncomplete();

  cluster::Revision next() const { return upto_ + 1; }  // where a watch has to begin
  bool HasNews(cluster::Revision after) const;
  cluster::Changes Since(cluster::Revision revision) const;

 private:
  void Trim();

  cluster::Revision from_ = 0;
  cluster::Revision upto_ = 0;
  size_t bytes_ = 0;
  std::deque<cluster::Change> changes_;
};

}  // namespace understudy::etcd
