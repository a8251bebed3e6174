// SPDX-License-Identifier: Apache-2.0
// EtcdCoordinator: the Coordinator kept in an etcd cluster (API v3, etcd 3.4 or later).
//
// All keys are below /understudy/GROUP/, so that groups can share an etcd; revisions are etcd's own
// and grow with what others write, too. Reads are linearizable. etcd counts leases in whole
// seconds, rounded up, and gives at least about 1.5 elections (2 s by default), and all of a
// lease's time again after each election; so members end each other's leases as lease_marks.h says,
// at the time that was asked for. The marks are keys of the group that nobody is told of.
//
// How endpoints are tried and how long that takes: etcd_client.h. How changes are followed:
// key_watch.h. Threading: thread-safe; ChangesSince is for one poller. Errors: coordinator.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cluster/coordinator.h"
#include "etcd/etcd_options.h"
#include "etcd/lease_marks.h"

namespace understudy::etcd {

class EtcdClient;
class KeyWatch;

class EtcdCoordinator final : public cluster::Coordinator {
 public:
  // Asks etcd once, so that a wrong endpoint, CA or password is told here.
  static base::Result<std::unique_ptr<EtcdCoordinator>> Open(EtcdOptions options);
  ~EtcdCoordinator() override;

  base::Result<cluster::KeyValue> Get(const std::string& key) override;
  base::Result<std::vector<cluster::KeyValue>> List(const std::string& prefix) override;
  base::Result<cluster::TxnResult> Txn(const std::vector<cluster::Compare>& compares,
                                       const std::vector<cluster::Operation>& operations) override;
  base::Result<cluster::LeaseId> GrantLease(base::Duration ttl) override;
  base::Status KeepAlive(cluster::LeaseId lease) override;
  base::Status RevokeLease(cluster::LeaseId lease) override;
  base::Result<cluster::Revision> CurrentRevision() override;
  base::Result<cluster::Changes> ChangesSince(cluster::Revision revision) override;
  void SetWakeup(std::function<void()> wakeup) override;

 private:
  static constexpr int kRenewalsMax = 3;

  explicit EtcdCoordinator(EtcdOptions options);
  base::Result<uint64_t> Renew(cluster::LeaseId lease);
  base::Result<std::vector<cluster::KeyValue>> ListAll(const std::string& prefix);
  base::Status LookAtMarks(cluster::Changes& changes);
  void EndSilentLeases();
  base::Status EndLease(const LeaseMarks::Mark& mark);
  struct Confirmed {
    cluster::Revision revision = 0;
    uint64_t etcd_term = 0;  // goes up with every election of a leader of etcd
  };
  base::Result<Confirmed> ReadHeader();
  // Puts the lease's mark anew. kNotFound when it is gone.
  base::Result<Confirmed> PutMark(cluster::LeaseId lease);

  const std::string prefix_;  // "/understudy/GROUP/"
  const std::unique_ptr<EtcdClient> client_;
  const std::unique_ptr<KeyWatch> watch_;
  // Of the poller.
  LeaseMarks marks_;
  bool marks_listed_ = false;  // since the watch began, or had a hole
};

}  // namespace understudy::etcd
