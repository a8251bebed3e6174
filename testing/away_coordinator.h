// SPDX-License-Identifier: Apache-2.0
// AwayCoordinator: another coordinator that can be made to be away: then every call fails with
// kUnavailable, as when the network between is cut. Counts the calls that were made.
// Threading: thread-safe.
#pragma once

#include <atomic>

#include "cluster/coordinator.h"

namespace understudy::test {

class AwayCoordinator final : public cluster::Coordinator {
 public:
  explicit AwayCoordinator(cluster::Coordinator& real) : real_(real) {}
  void SetAway(bool away) { away_ = away; }
  int calls() const { return calls_; }

  base::Result<cluster::KeyValue> Get(const std::string& key) override {
    return Call<base::Result<cluster::KeyValue>>([&] { return real_.Get(key); });
  }
  base::Result<std::vector<cluster::KeyValue>> List(const std::string& prefix) override {
    return Call<base::Result<std::vector<cluster::KeyValue>>>([&] { return real_.List(prefix); });
  }
  base::Result<cluster::TxnResult> Txn(const std::vector<cluster::Compare>& compares,
                                       const std::vector<cluster::Operation>& operations) override {
    return Call<base::Result<cluster::TxnResult>>([&] { return real_.Txn(compares, operations); });
  }
  base::Result<cluster::LeaseId> GrantLease(base::Duration ttl) override {
    return Call<base::Result<cluster::LeaseId>>([&] { return real_.GrantLease(ttl); });
  }
  base::Status KeepAlive(cluster::LeaseId lease) override {
    return Call<base::Status>([&] { return real_.KeepAlive(lease); });
  }
  base::Status RevokeLease(cluster::LeaseId lease) override {
    return Call<base::Status>([&] { return real_.RevokeLease(lease); });
  }
  base::Result<cluster::Revision> CurrentRevision() override {
    return Call<base::Result<cluster::Revision>>([&] { return real_.CurrentRevision(); });
  }
  base::Result<cluster::Changes> ChangesSince(cluster::Revision revision) override {
    return Call<base::Result<cluster::Changes>>([&] { return real_.ChangesSince(revision); });
  }

 private:
  template <typename T, typename F>
  T Call(const F& call) {
    ++calls_;
    if (away_) return base::Unavailable("the coordinator is away");
    return call();
  }

  cluster::Coordinator& real_;
  std::atomic<bool> away_ = false;
  std::atomic<int> calls_ = 0;
};

}  // namespace understudy::test
