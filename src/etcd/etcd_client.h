// SPDX-License-Identifier: Apache-2.0
// EtcdClient: calls to one of several endpoints of an etcd cluster, within one limit of time.
//
// Calls go to the current endpoint. When it cannot be reached, does not answer, or says that it has
// no leader, the next one becomes current. A call that may be repeated goes on there until
// call_limit; one that may not (Once) goes on only while it was certainly not sent or not carried
// out, and is kUnavailable otherwise: nobody knows then whether it took effect. Every call demands
// a member that has a leader ("hasleader"), so that a member cut off from the others refuses.
//
// With a user, calls carry a token; it is fetched before the first call and again when etcd no
// longer accepts it. With a CA, connections are TLS, and the host of the endpoint must be in the
// server's certificate.
//
// Threading: thread-safe. Limits: call_limit for a call, attempt_limit for an attempt where another
// endpoint could be asked, connect_limit for a connection, kMessageBytesMax for an answer.
// Errors: kUnavailable; kInvalidArgument, kNotFound, kNoSpace and kCorruption as verdict.h says.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "base/time.h"
#include "etcd/etcd_options.h"
#include "etcd/rpc.grpc.pb.h"

namespace understudy::etcd {

class EtcdClient {
 public:
  static constexpr int kMessageBytesMax = 64 << 20;
  // Between two rounds over all endpoints.
  static constexpr base::Duration kRoundPause = std::chrono::milliseconds(50);
  // When so many tokens in a row are refused, that is not a matter of time.
  static constexpr int kLoginsMax = 3;

  struct Endpoint {
    size_t number = 0;
    std::string address;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<etcdserverpb::KV::Stub> kv;
    std::unique_ptr<etcdserverpb::Watch::Stub> watch;
    std::unique_ptr<etcdserverpb::Lease::Stub> lease;
    std::unique_ptr<etcdserverpb::Auth::Stub> auth;
    std::unique_ptr<etcdserverpb::Cluster::Stub> cluster;
  };
  using Call = std::function<grpc::Status(grpc::ClientContext&, const Endpoint&)>;

  // Connects to nothing yet. REQUIRES: options.endpoints is not empty.
  explicit EtcdClient(EtcdOptions options);
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  // `what` is the object of a sentence, such as "a read of servers/". `call` sends one request,
  // perhaps several times, each time with a fresh context.
  base::Status Repeat(std::string_view what, const Call& call) { return Run(what, true, call); }
  base::Status Once(std::string_view what, const Call& call) { return Run(what, false, call); }

  // For a stream without end: connects to the current endpoint, logs in there and prepares
  // `context`. On failure the next endpoint is current.
  base::Result<const Endpoint*> Open(grpc::ClientContext& context);
  // `endpoint` was found not to answer: calls go elsewhere from now on.
  void Leave(const Endpoint& endpoint) EXCLUDES_LOCK(mutex_);
  // The token was refused: log in again.
  void ForgetLogin() EXCLUDES_LOCK(mutex_);

  // `left` is called without a lock held, from any thread, with the number of an endpoint that was
  // left. Set it before the first call.
  void SetOnLeft(std::function<void(size_t)> left) { on_left_ = std::move(left); }

  const EtcdOptions& options() const { return options_; }

 private:
  class Deadline;
  struct Attempt {
    bool reached = false;  // there was a connection
    bool sent = false;     // false: `answer` is of what came before the call
    grpc::Status answer;
  };

  base::Status Run(std::string_view what, bool repeatable, const Call& call);
  Attempt Try(const Endpoint& endpoint, const Deadline& deadline, bool repeatable,
              const Call& call);
  base::Status NotAnswered(std::string_view what, const Endpoint& endpoint,
                           const Attempt& last) const;
  base::Status NotConfirmed(std::string_view what, const Endpoint& endpoint,
                            const Attempt& last) const;
  const Endpoint& Current() const EXCLUDES_LOCK(mutex_);
  bool Reach(const Endpoint& endpoint, base::Duration limit) const;
  grpc::Status WhyNotReached(const Endpoint& endpoint) const;
  grpc::Status LogIn(const Endpoint& endpoint, base::Duration limit, std::string& token)
      EXCLUDES_LOCK(mutex_);
  void Pause(base::Duration limit) EXCLUDES_LOCK(mutex_);

  const EtcdOptions options_;
  std::vector<Endpoint> endpoints_;
  std::function<void(size_t)> on_left_;

  mutable base::Mutex mutex_;
  base::CondVar paused_;  // never notified: a pause is a wait for nothing
  size_t current_ GUARDED_BY(mutex_) = 0;
  bool logged_in_ GUARDED_BY(mutex_) = false;
  std::string token_ GUARDED_BY(mutex_);  // empty: this etcd wants no login
};

}  // namespace understudy::etcd
