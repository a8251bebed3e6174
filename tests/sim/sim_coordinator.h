// SPDX-License-Identifier: Apache-2.0
// SimStore: a coordinator's store in memory, over simulated time. SimCoordinator: one server's
// client of it, over a link that may be slow, cut, or cut off between a transaction and its answer;
// what was sent may arrive after its sender has given up.
//
// Threading: confined to the thread of the simulation.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/coordinator.h"
#include "testing/sim_clock.h"

namespace understudy::test {

class SimStore {
 public:
  explicit SimStore(SimClock& clock) : clock_(clock) {}

  base::Result<cluster::KeyValue> Get(const std::string& key);
  std::vector<cluster::KeyValue> List(const std::string& prefix);
  base::Result<cluster::TxnResult> Txn(const std::vector<cluster::Compare>& compares,
                                       const std::vector<cluster::Operation>& operations);
  cluster::LeaseId Grant(base::Duration ttl);
  base::Status KeepAlive(cluster::LeaseId lease);
  void Revoke(cluster::LeaseId lease);
  cluster::Revision revision();
  cluster::Changes ChangesSince(cluster::Revision revision);
  std::vector<cluster::LeaseId> leases();

 private:
  struct Lease {
    base::Duration ttl{};
    base::SteadyTime ends;
    std::set<std::string> keys;
  };
  void EndLeases();
  void Apply(const cluster::Operation& operation);

  SimClock& clock_;
  cluster::Revision revision_ = 0;
  cluster::LeaseId next_lease_ = 1;
  std::map<std::string, cluster::KeyValue> values_;
  std::map<cluster::LeaseId, Lease> leases_;
  std::deque<cluster::Change> changes_;
  cluster::Revision forgotten_ = 0;  // changes up to here are no longer kept
};

class SimCoordinator final : public cluster::Coordinator {
 public:
  // What the link does to one call: the time to get there and back, and whether it does.
  struct Way {
    base::Duration there{};
    base::Duration back{};
    bool arrives = true;
    bool answers = true;
    bool late = false;  // it arrives, `there` after it was sent, when nobody waits for it any more
  };
  using Link = std::function<Way()>;
  // Runs it where it outlives the server's process.
  using Start = std::function<void(std::function<void()>)>;
  static constexpr base::Duration kTimeout = std::chrono::seconds(3);

  SimCoordinator(SimStore& store, Link link, Start start)
      : store_(store), link_(std::move(link)), start_(std::move(start)) {}

  base::Result<cluster::KeyValue> Get(const std::string& key) override;
  base::Result<std::vector<cluster::KeyValue>> List(const std::string& prefix) override;
  base::Result<cluster::TxnResult> Txn(const std::vector<cluster::Compare>& compares,
                                       const std::vector<cluster::Operation>& operations) override;
  base::Result<cluster::LeaseId> GrantLease(base::Duration ttl) override;
  base::Status KeepAlive(cluster::LeaseId lease) override;
  base::Status RevokeLease(cluster::LeaseId lease) override;
  base::Result<cluster::Revision> CurrentRevision() override;
  base::Result<cluster::Changes> ChangesSince(cluster::Revision revision) override;

 private:
  // What `act` says of the store, if its answer comes.
  template <typename Answer>
  std::optional<Answer> Go(std::function<Answer(SimStore&)> act);

  SimStore& store_;
  const Link link_;
  const Start start_;
};

}  // namespace understudy::test
