// SPDX-License-Identifier: Apache-2.0
#include "etcd/etcd_coordinator.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/diag.h"
#include "cluster/coordinator_limits.h"
#include "etcd/etcd_client.h"
#include "etcd/key_watch.h"

namespace understudy::etcd {
namespace {

using cluster::Changes;
using cluster::Compare;
using cluster::KeyValue;
using cluster::LeaseId;
using cluster::Operation;
using cluster::Revision;
using cluster::TxnResult;
using Endpoint = EtcdClient::Endpoint;

KeyValue PairOf(const mvccpb::KeyValue& pair, size_t prefix_bytes) {
  return {pair.key().substr(prefix_bytes), pair.value(), pair.create_revision(),
          pair.mod_revision(), pair.lease()};
}

etcdserverpb::TxnRequest ToRequest(const std::string& prefix, const std::vector<Compare>& compares,
                                   const std::vector<Operation>& operations) {
  etcdserverpb::TxnRequest request;
  for (const Compare& compare : compares) {
    etcdserverpb::Compare& wanted = *request.add_compare();
    wanted.set_key(prefix + compare.key);
    wanted.set_result(etcdserverpb::Compare::EQUAL);
    wanted.set_target(etcdserverpb::Compare::MOD);
    wanted.set_mod_revision(compare.modified);
  }
  for (const Operation& operation : operations) {
    etcdserverpb::RequestOp& wanted = *request.add_success();
    if (!operation.value) {
      wanted.mutable_request_delete_range()->set_key(prefix + operation.key);
      continue;
    }
    etcdserverpb::PutRequest& put = *wanted.mutable_request_put();
    put.set_key(prefix + operation.key);
    put.set_value(*operation.value);
    put.set_lease(operation.lease);
  }
  return request;
}

std::string NameOf(const std::vector<Operation>& operations) {
  if (operations.empty()) return "a comparison";
  return fmt::format("a write of {}{}", operations.front().key,
                     operations.size() > 1 ? " and others" : "");
}

// One request and one answer on a stream of its own.
grpc::Status KeepAliveOnce(grpc::ClientContext& context, const Endpoint& endpoint, LeaseId lease,
                           etcdserverpb::LeaseKeepAliveResponse& response) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  const auto stream = endpoint.lease->LeaseKeepAlive(&context);
  const bool answered = stream->Write(request) && stream->Read(&response);
  if (answered) stream->WritesDone();
  const grpc::Status status = stream->Finish();
  if (answered) return grpc::Status::OK;
  if (!status.ok()) return status;
  return {grpc::StatusCode::UNAVAILABLE, "the stream ended without an answer"};
}

}  // namespace

EtcdCoordinator::EtcdCoordinator(EtcdOptions options)
    : prefix_(fmt::format("/understudy/{}/", options.group)),
      client_(std::make_unique<EtcdClient>(std::move(options))),
      watch_(std::make_unique<KeyWatch>(*client_, prefix_)) {}

EtcdCoordinator::~EtcdCoordinator() = default;

base::Result<std::unique_ptr<EtcdCoordinator>> EtcdCoordinator::Open(EtcdOptions options) {
  if (options.endpoints.empty()) {
    return base::InvalidArgument("etcd has no endpoint\nset coordinator.endpoints");
  }
  std::unique_ptr<EtcdCoordinator> coordinator(new EtcdCoordinator(std::move(options)));
  RETURN_IF_ERROR(coordinator->CurrentRevision().status());
  return coordinator;
}

base::Result<KeyValue> EtcdCoordinator::Get(const std::string& key) {
  RETURN_IF_ERROR(cluster::CheckKey(key));
  etcdserverpb::RangeRequest request;
  request.set_key(prefix_ + key);
  etcdserverpb::RangeResponse response;
  RETURN_IF_ERROR(client_->Repeat("a read of " + key,
                                  [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                    return endpoint.kv->Range(&context, request, &response);
                                  }));
  if (response.kvs().empty()) {
    return base::NotFound(fmt::format("the coordinator has no key {}", key));
  }
  return PairOf(response.kvs(0), prefix_.size());
}

base::Result<std::vector<KeyValue>> EtcdCoordinator::List(const std::string& prefix) {
  ASSIGN_OR_RETURN(std::vector<KeyValue> pairs, ListAll(prefix));
  std::erase_if(pairs, [](const KeyValue& pair) { return LeaseMarks::IsKey(pair.key); });
  return pairs;
}

base::Result<std::vector<KeyValue>> EtcdCoordinator::ListAll(const std::string& prefix) {
  etcdserverpb::RangeRequest request;
  request.set_key(prefix_ + prefix);
  request.set_range_end(cluster::PrefixEnd(prefix_ + prefix));
  etcdserverpb::RangeResponse response;
  RETURN_IF_ERROR(client_->Repeat("a list of " + prefix,
                                  [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                    return endpoint.kv->Range(&context, request, &response);
                                  }));
  std::vector<KeyValue> pairs;
  pairs.reserve(static_cast<size_t>(response.kvs_size()));
  for (const mvccpb::KeyValue& pair : response.kvs()) pairs.push_back(PairOf(pair, prefix_.size()));
  return pairs;
}

base::Result<TxnResult> EtcdCoordinator::Txn(const std::vector<Compare>& compares,
                                             const std::vector<Operation>& operations) {
  RETURN_IF_ERROR(cluster::CheckTxn(compares, operations));
  const etcdserverpb::TxnRequest request = ToRequest(prefix_, compares, operations);
  etcdserverpb::TxnResponse response;
  RETURN_IF_ERROR(client_->Once(NameOf(operations),
                                [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                  return endpoint.kv->Txn(&context, request, &response);
                                }));
  return TxnResult{response.succeeded(), response.header().revision()};
}

base::Result<LeaseId> EtcdCoordinator::GrantLease(base::Duration ttl) {
  if (ttl <= base::Duration(0)) return base::InvalidArgument("a lease's time must be positive");
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(std::chrono::ceil<std::chrono::seconds>(ttl).count());
  etcdserverpb::LeaseGrantResponse response;
  // One that was granted without our hearing of it ends by itself.
  RETURN_IF_ERROR(client_->Repeat("the grant of a lease",
                                  [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                    return endpoint.lease->LeaseGrant(&context, request, &response);
                                  }));
  RETURN_IF_ERROR(Txn({}, {Operation::Put(LeaseMarks::Key(response.id()), LeaseMarks::Value(ttl),
                                          response.id())})
                      .status());
  return response.id();
}

// A leader that was cut off from the others goes on renewing leases, up to two elections long,
// while a new one counts them down. So a renewal counts only if the mark's write afterwards, which
// a majority confirms, finds etcd in the same term of its own.
base::Status EtcdCoordinator::KeepAlive(LeaseId lease) {
  for (int renewal = 0; renewal < kRenewalsMax; ++renewal) {
    ASSIGN_OR_RETURN(const uint64_t renewed_in, Renew(lease));
    ASSIGN_OR_RETURN(const Confirmed after, PutMark(lease));
    if (after.etcd_term == renewed_in) return {};
  }
  return base::Unavailable(
      fmt::format("etcd elected a new leader during each of {} renewals of a lease", kRenewalsMax));
}

// The term of etcd's own, before it renewed.
base::Result<uint64_t> EtcdCoordinator::Renew(LeaseId lease) {
  etcdserverpb::LeaseKeepAliveResponse response;
  RETURN_IF_ERROR(client_->Repeat("the renewal of a lease",
                                  [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                    return KeepAliveOnce(context, endpoint, lease, response);
                                  }));
  if (response.ttl() <= 0) return base::NotFound(fmt::format("lease {} has ended", lease));
  return response.header().raft_term();
}

base::Result<EtcdCoordinator::Confirmed> EtcdCoordinator::PutMark(LeaseId lease) {
  const std::string key = prefix_ + LeaseMarks::Key(lease);
  etcdserverpb::TxnRequest request;
  etcdserverpb::Compare& exists = *request.add_compare();
  exists.set_key(key);
  exists.set_target(etcdserverpb::Compare::VERSION);
  exists.set_result(etcdserverpb::Compare::GREATER);
  exists.set_version(0);
  etcdserverpb::PutRequest& put = *request.add_success()->mutable_request_put();
  put.set_key(key);
  put.set_ignore_value(true);
  put.set_ignore_lease(true);
  etcdserverpb::TxnResponse response;
  // Once more does no harm: it says only that the holder is there.
  RETURN_IF_ERROR(client_->Repeat("the mark of a lease",
                                  [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                    return endpoint.kv->Txn(&context, request, &response);
                                  }));
  if (!response.succeeded()) {
    return base::NotFound(fmt::format("lease {} has ended: it was silent for too long", lease));
  }
  return Confirmed{response.header().revision(), response.header().raft_term()};
}

base::Status EtcdCoordinator::RevokeLease(LeaseId lease) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseRevokeResponse response;
  const base::Status status = client_->Repeat(
      "the end of a lease", [&](grpc::ClientContext& context, const Endpoint& endpoint) {
        return endpoint.lease->LeaseRevoke(&context, request, &response);
      });
  return status.code() == base::Code::kNotFound ? base::Status() : status;
}

base::Result<Revision> EtcdCoordinator::CurrentRevision() {
  ASSIGN_OR_RETURN(const Confirmed now, ReadHeader());
  return now.revision;
}

base::Result<EtcdCoordinator::Confirmed> EtcdCoordinator::ReadHeader() {
  etcdserverpb::RangeRequest request;
  request.set_key(prefix_);
  request.set_count_only(true);
  etcdserverpb::RangeResponse response;
  RETURN_IF_ERROR(client_->Repeat("a read of the revision",
                                  [&](grpc::ClientContext& context, const Endpoint& endpoint) {
                                    return endpoint.kv->Range(&context, request, &response);
                                  }));
  return Confirmed{response.header().revision(), response.header().raft_term()};
}

base::Result<Changes> EtcdCoordinator::ChangesSince(Revision revision) {
  ASSIGN_OR_RETURN(Changes changes, watch_->ChangesSince(revision));
  RETURN_IF_ERROR(LookAtMarks(changes));
  EndSilentLeases();
  return changes;
}

// Takes the marks out of `changes`.
base::Status EtcdCoordinator::LookAtMarks(Changes& changes) {
  if (!changes.complete) marks_listed_ = false;
  const base::SteadyTime now = std::chrono::steady_clock::now();
  for (const cluster::Change& change : changes.changes) {
    marks_.Saw(change.key, change.value, change.revision, now);
  }
  std::erase_if(changes.changes,
                [](const cluster::Change& change) { return LeaseMarks::IsKey(change.key); });
  if (marks_listed_) return {};
  ASSIGN_OR_RETURN(const std::vector<KeyValue> all, ListAll(std::string(LeaseMarks::kPrefix)));
  const base::SteadyTime listed = std::chrono::steady_clock::now();
  marks_.KeepOnly(all);
  for (const KeyValue& pair : all) marks_.Saw(pair.key, pair.value, pair.modified, listed);
  marks_listed_ = true;
  return {};
}

// What fails here is no failure of the poll: etcd ends those leases too, if later.
void EtcdCoordinator::EndSilentLeases() {
  const base::SteadyTime now = std::chrono::steady_clock::now();
  if (marks_.WantsAnswer(now)) {
    if (!ReadHeader().ok()) return;
    marks_.Answered(std::chrono::steady_clock::now());
  }
  for (const LeaseMarks::Mark& mark : marks_.Ended(now)) {
    const base::Status ended = EndLease(mark);
    if (ended.ok()) continue;
    if (ended.code() == base::Code::kUnavailable) return;  // again with the next poll
    base::Diag(base::DiagLevel::kWarning, "etcd", "a silent lease is left to etcd to end",
               {{"lease", mark.lease}, {"why", ended.message()}});
    marks_.Forget(mark.lease);
  }
}

base::Status EtcdCoordinator::EndLease(const LeaseMarks::Mark& mark) {
  ASSIGN_OR_RETURN(const TxnResult deleted, Txn({{LeaseMarks::Key(mark.lease), mark.modified}},
                                                {Operation::Delete(LeaseMarks::Key(mark.lease))}));
  return deleted.committed ? RevokeLease(mark.lease) : base::Status();
}

void EtcdCoordinator::SetWakeup(std::function<void()> wakeup) {
  watch_->SetWakeup(std::move(wakeup));
}

}  // namespace understudy::etcd
