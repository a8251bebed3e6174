// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_coordinator.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/mutex.h"

namespace understudy::test {

using base::Result;
using base::Status;
using cluster::Change;
using cluster::Changes;
using cluster::Compare;
using cluster::KeyValue;
using cluster::LeaseId;
using cluster::Operation;
using cluster::Revision;
using cluster::TxnResult;

namespace {

void Pass(base::Duration length) {
  if (length <= base::Duration(0)) return;
  base::Mutex mutex;
  base::CondVar nothing;
  base::MutexLock lock(mutex);
  nothing.WaitFor(mutex, length);
}

Status NoAnswer() { return base::Unavailable("the coordinator did not answer in time"); }

Status CheckLimits(const std::vector<Operation>& operations) {
  size_t bytes = 0;
  std::set<std::string> keys;
  for (const Operation& operation : operations) {
    const size_t value = operation.value ? operation.value->size() : 0;
    if (operation.key.empty() || operation.key.size() > cluster::kKeyBytesMax ||
        value > cluster::kValueBytesMax || !keys.insert(operation.key).second) {
      return base::InvalidArgument("a key is empty, too long or there twice, or a value too long");
    }
    bytes += operation.key.size() + value;
  }
  if (operations.size() > cluster::kTxnOperationsMax || bytes > cluster::kTxnBytesMax) {
    return base::InvalidArgument("the transaction is too large");
  }
  return {};
}

}  // namespace

void SimStore::Apply(const Operation& operation) {
  const auto found = values_.find(operation.key);
  if (found != values_.end() && found->second.lease != 0) {
    if (const auto lease = leases_.find(found->second.lease); lease != leases_.end()) {
      lease->second.keys.erase(operation.key);
    }
  }
  if (!operation.value) {
    if (found != values_.end()) values_.erase(found);
  } else {
    KeyValue& pair = values_[operation.key];
    if (pair.created == 0) pair.created = revision_;
    pair.key = operation.key;
    pair.value = *operation.value;
    pair.modified = revision_;
    pair.lease = operation.lease;
    if (operation.lease != 0) leases_.at(operation.lease).keys.insert(operation.key);
  }
  changes_.push_back({operation.key, operation.value, revision_});
  while (changes_.size() > cluster::kChangesKept) {
    forgotten_ = changes_.front().revision;
    changes_.pop_front();
  }
}

void SimStore::EndLeases() {
  for (const LeaseId lease : [&] {
         std::vector<LeaseId> ended;
         for (const auto& [id, each] : leases_) {
           if (each.ends <= clock_.Now()) ended.push_back(id);
         }
         return ended;
       }()) {
    Revoke(lease);
  }
}

void SimStore::Revoke(LeaseId lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  const std::set<std::string> keys = found->second.keys;
  if (!keys.empty()) ++revision_;
  for (const std::string& key : keys) Apply(Operation::Delete(key));
  leases_.erase(lease);
}

Result<KeyValue> SimStore::Get(const std::string& key) {
  EndLeases();
  const auto found = values_.find(key);
  if (found == values_.end()) return base::NotFound("there is no " + key);
  return found->second;
}

std::vector<KeyValue> SimStore::List(const std::string& prefix) {
  EndLeases();
  std::vector<KeyValue> pairs;
  for (auto at = values_.lower_bound(prefix); at != values_.end() && at->first.starts_with(prefix);
       ++at) {
    pairs.push_back(at->second);
  }
  return pairs;
}

Result<TxnResult> SimStore::Txn(const std::vector<Compare>& compares,
                                const std::vector<Operation>& operations) {
  EndLeases();
  RETURN_IF_ERROR(CheckLimits(operations));
  for (const Compare& compare : compares) {
    const auto found = values_.find(compare.key);
    const Revision now = found == values_.end() ? 0 : found->second.modified;
    if (now != compare.modified) return TxnResult{false, revision_};
  }
  for (const Operation& operation : operations) {
    if (operation.lease != 0 && !leases_.contains(operation.lease)) {
      return base::NotFound(fmt::format("lease {} has ended", operation.lease));
    }
  }
  const bool changes = std::any_of(operations.begin(), operations.end(), [&](const auto& each) {
    return each.value || values_.contains(each.key);
  });
  if (!changes) return TxnResult{true, revision_};
  ++revision_;
  for (const Operation& operation : operations) {
    if (operation.value || values_.contains(operation.key)) Apply(operation);
  }
  return TxnResult{true, revision_};
}

LeaseId SimStore::Grant(base::Duration ttl) {
  const LeaseId id = next_lease_++;
  leases_[id] = {ttl, clock_.Now() + ttl, {}};
  return id;
}

Status SimStore::KeepAlive(LeaseId lease) {
  EndLeases();
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return base::NotFound("the lease has ended");
  found->second.ends = clock_.Now() + found->second.ttl;
  return {};
}

Revision SimStore::revision() {
  EndLeases();
  return revision_;
}

Changes SimStore::ChangesSince(Revision revision) {
  EndLeases();
  Changes told{revision_, revision >= forgotten_, {}};
  if (!told.complete) return told;
  for (const Change& change : changes_) {
    if (change.revision > revision) told.changes.push_back(change);
  }
  return told;
}

std::vector<LeaseId> SimStore::leases() {
  EndLeases();
  std::vector<LeaseId> ids;
  for (const auto& [id, lease] : leases_) ids.push_back(id);
  return ids;
}

template <typename Answer>
std::optional<Answer> SimCoordinator::Go(std::function<Answer(SimStore&)> act) {
  const Way way = link_();
  if (way.late) {
    start_([&store = store_, act, there = way.there] {
      Pass(there);
      const Answer unheard = act(store);
      static_cast<void>(unheard);
    });
  } else if (way.arrives) {
    Pass(way.there);
    Answer answer = act(store_);
    if (way.answers) {
      Pass(way.back);
      return answer;
    }
  }
  Pass(kTimeout);
  return std::nullopt;
}

Result<KeyValue> SimCoordinator::Get(const std::string& key) {
  return Go<Result<KeyValue>>([key](SimStore& store) { return store.Get(key); })
      .value_or(NoAnswer());
}
Result<std::vector<KeyValue>> SimCoordinator::List(const std::string& prefix) {
  return Go<Result<std::vector<KeyValue>>>([prefix](SimStore& store) { return store.List(prefix); })
      .value_or(NoAnswer());
}
Result<TxnResult> SimCoordinator::Txn(const std::vector<Compare>& compares,
                                      const std::vector<Operation>& operations) {
  return Go<Result<TxnResult>>(
             [compares, operations](SimStore& store) { return store.Txn(compares, operations); })
      .value_or(NoAnswer());
}
Result<LeaseId> SimCoordinator::GrantLease(base::Duration ttl) {
  return Go<Result<LeaseId>>([ttl](SimStore& store) { return store.Grant(ttl); })
      .value_or(NoAnswer());
}
Status SimCoordinator::KeepAlive(LeaseId lease) {
  return Go<Status>([lease](SimStore& store) { return store.KeepAlive(lease); })
      .value_or(NoAnswer());
}
Status SimCoordinator::RevokeLease(LeaseId lease) {
  return Go<Status>([lease](SimStore& store) {
           store.Revoke(lease);
           return Status();
         })
      .value_or(NoAnswer());
}
Result<Revision> SimCoordinator::CurrentRevision() {
  return Go<Result<Revision>>([](SimStore& store) { return store.revision(); })
      .value_or(NoAnswer());
}
Result<Changes> SimCoordinator::ChangesSince(Revision revision) {
  return Go<Result<Changes>>([revision](SimStore& store) { return store.ChangesSince(revision); })
      .value_or(NoAnswer());
}

}  // namespace understudy::test
