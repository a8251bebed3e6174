// SPDX-License-Identifier: Apache-2.0
#include "etcd/etcd_client.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "etcd/verdict.h"

namespace understudy::etcd {
namespace {

// etcd drops connections that ping more often than every 5 s, or ping without a call.
constexpr int kPingMs = 10'000;
constexpr int kPingTimeoutMs = 3'000;
// A connection that failed is tried again after this, doubling, at most after the second.
constexpr int kReconnectMsMin = 100;
constexpr int kReconnectMsMax = 1'000;
// How long an endpoint that could not be reached a moment ago is waited for.
constexpr base::Duration kFailedPause = std::chrono::milliseconds(50);
// How long a message's reason for a failed connection is waited for.
constexpr base::Duration kReasonLimit = std::chrono::milliseconds(200);

constexpr unsigned kFilesEverySeconds = 1;

constexpr const char* kTokenKey = "token";
constexpr const char* kLeaderKey = "hasleader";

gpr_timespec After(base::Duration limit) {
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(limit).count();
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_micros(std::max<int64_t>(microseconds, 0), GPR_TIMESPAN));
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(EtcdClient::kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // a quiet watch is pinged, too
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMsMin);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // what may be repeated is decided here
  return arguments;
}

// The host of an endpoint is checked here as with the other kind.
std::shared_ptr<grpc::ChannelCredentials> RenewedCredentials(const EtcdOptions& options) {
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.identity_file, options.identity_file, options.ca_file, kFilesEverySeconds));
  tls.watch_root_certs();
  tls.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(tls);
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const EtcdOptions& options) {
  if (!options.identity_file.empty()) return RenewedCredentials(options);
  if (options.ca.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options.ca;
  tls.pem_cert_chain = options.certificate;
  tls.pem_private_key = options.key;
  return grpc::SslCredentials(tls);
}

int64_t Milliseconds(base::Duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

}  // namespace

class EtcdClient::Deadline {
 public:
  explicit Deadline(base::Duration limit) : end_(std::chrono::steady_clock::now() + limit) {}
  base::Duration left() const {
    return std::max<base::Duration>(end_ - std::chrono::steady_clock::now(), base::Duration(0));
  }
  bool passed() const { return left() == base::Duration(0); }

 private:
  std::chrono::steady_clock::time_point end_;
};

EtcdClient::EtcdClient(EtcdOptions options) : options_(std::move(options)) {
  CHECK(!options_.endpoints.empty());
  const auto credentials = Credentials(options_);
  for (const std::string& address : options_.endpoints) {
    Endpoint& endpoint = endpoints_.emplace_back();
    endpoint.number = endpoints_.size() - 1;
    endpoint.address = address;
    endpoint.channel = grpc::CreateCustomChannel(address, credentials, Arguments());
    endpoint.kv = etcdserverpb::KV::NewStub(endpoint.channel);
    endpoint.watch = etcdserverpb::Watch::NewStub(endpoint.channel);
    endpoint.lease = etcdserverpb::Lease::NewStub(endpoint.channel);
    endpoint.auth = etcdserverpb::Auth::NewStub(endpoint.channel);
    endpoint.cluster = etcdserverpb::Cluster::NewStub(endpoint.channel);
  }
}

base::Status EtcdClient::Run(std::string_view what, bool repeatable, const Call& call) {
  const Deadline deadline(options_.call_limit);
  int logins = 0;
  for (size_t attempts = 1;; ++attempts) {
    const Endpoint& endpoint = Current();
    const Attempt attempt = Try(endpoint, deadline, repeatable, call);
    if (attempt.answer.ok()) return {};
    switch (Judge(attempt.answer)) {
      case Verdict::kLoginEnded:
        ForgetLogin();
        if (!options_.user.empty() && ++logins < kLoginsMax) continue;
        return Refusal(attempt.answer, what, endpoint.address, options_.user);
      case Verdict::kRefused: return Refusal(attempt.answer, what, endpoint.address, options_.user);
      case Verdict::kNotDone: break;
      case Verdict::kUnknown:
        if (attempt.sent && !repeatable) {
          Leave(endpoint);
          return NotConfirmed(what, endpoint, attempt);
        }
        break;
    }
    Leave(endpoint);
    if (attempts % endpoints_.size() == 0) Pause(std::min(kRoundPause, deadline.left()));
    // What is left then is for asking why.
    if (deadline.left() <= kReasonLimit) return NotAnswered(what, endpoint, attempt);
  }
}

// Connects, logs in, calls.
EtcdClient::Attempt EtcdClient::Try(const Endpoint& endpoint, const Deadline& deadline,
                                    bool repeatable, const Call& call) {
  const grpc::Status late(grpc::StatusCode::UNAVAILABLE, "no connection in time");
  if (!Reach(endpoint, deadline.left())) return {false, false, late};
  const bool others = repeatable && endpoints_.size() > 1;
  std::string token;
  const grpc::Status login = LogIn(endpoint, deadline.left(), token);
  if (!login.ok()) return {true, false, login};
  if (deadline.passed()) return {true, false, late};
  grpc::ClientContext context;
  context.AddMetadata(kLeaderKey, "true");
  if (!token.empty()) context.AddMetadata(kTokenKey, token);
  context.set_deadline(
      After(others ? std::min(deadline.left(), options_.attempt_limit) : deadline.left()));
  return {true, true, call(context, endpoint)};
}

base::Status EtcdClient::NotAnswered(std::string_view what, const Endpoint& endpoint,
                                     const Attempt& last) const {
  const grpc::Status why = last.reached ? last.answer : WhyNotReached(endpoint);
  return base::Unavailable(
      fmt::format("etcd did not answer {} within {} ms (asked {}; {} said last: {})\ncheck that "
                  "etcd runs there "
                  "and has a majority, or change coordinator.endpoints",
                  what, Milliseconds(options_.call_limit), fmt::join(options_.endpoints, ", "),
                  endpoint.address, Describe(why)));
}

base::Status EtcdClient::NotConfirmed(std::string_view what, const Endpoint& endpoint,
                                      const Attempt& last) const {
  return base::Unavailable(fmt::format(
      "etcd at {} did not confirm {} within {} ms: {}; it may have been carried out or not",
      endpoint.address, what, Milliseconds(options_.call_limit), Describe(last.answer)));
}

base::Result<const EtcdClient::Endpoint*> EtcdClient::Open(grpc::ClientContext& context) {
  const Endpoint& endpoint = Current();
  std::string token;
  const grpc::Status answer = Reach(endpoint, options_.connect_limit)
                                  ? LogIn(endpoint, options_.attempt_limit, token)
                                  : WhyNotReached(endpoint);
  if (!answer.ok()) {
    Leave(endpoint);
    return base::Unavailable(fmt::format("etcd at {}: {}", endpoint.address, Describe(answer)));
  }
  context.AddMetadata(kLeaderKey, "true");
  if (!token.empty()) context.AddMetadata(kTokenKey, token);
  return &endpoint;
}

const EtcdClient::Endpoint& EtcdClient::Current() const {
  base::MutexLock lock(mutex_);
  return endpoints_[current_];
}

void EtcdClient::Leave(const Endpoint& endpoint) {
  if (endpoints_.size() == 1) return;
  {
    base::MutexLock lock(mutex_);
    if (current_ != endpoint.number) return;
    current_ = (current_ + 1) % endpoints_.size();
  }
  if (on_left_) on_left_(endpoint.number);
}

// Nothing is sent over a channel that is not connected, so what fails here was not carried out.
// Waiting for the state is also what lets gRPC work on connections: between calls it does not.
bool EtcdClient::Reach(const Endpoint& endpoint, base::Duration limit) const {
  const gpr_timespec end = After(std::min(limit, options_.connect_limit));
  const gpr_timespec soon = After(std::min(limit, kFailedPause));
  grpc_connectivity_state state = endpoint.channel->GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    const bool failed = state == GRPC_CHANNEL_TRANSIENT_FAILURE;
    if (!endpoint.channel->WaitForStateChange(state, failed ? soon : end)) return false;
    state = endpoint.channel->GetState(true);
  }
  return true;
}

// A channel does not say why it has no connection, but the failure of a harmless call does.
grpc::Status EtcdClient::WhyNotReached(const Endpoint& endpoint) const {
  grpc::ClientContext context;
  context.set_deadline(After(kReasonLimit));
  etcdserverpb::RangeRequest request;
  request.set_key("/understudy/");
  request.set_count_only(true);
  request.set_serializable(true);
  etcdserverpb::RangeResponse response;
  const grpc::Status answer = endpoint.kv->Range(&context, request, &response);
  if (!answer.ok()) return answer;
  return {grpc::StatusCode::UNAVAILABLE, "its connection was not ready in time"};
}

grpc::Status EtcdClient::LogIn(const Endpoint& endpoint, base::Duration limit, std::string& token) {
  if (options_.user.empty()) return grpc::Status::OK;
  {
    base::MutexLock lock(mutex_);
    token = token_;
    if (logged_in_) return grpc::Status::OK;
  }
  grpc::ClientContext context;
  context.AddMetadata(kLeaderKey, "true");
  context.set_deadline(After(std::min(limit, options_.attempt_limit)));
  etcdserverpb::AuthenticateRequest request;
  request.set_name(options_.user);
  request.set_password(options_.password);
  etcdserverpb::AuthenticateResponse response;
  const grpc::Status answer = endpoint.auth->Authenticate(&context, request, &response);
  // Users that are not switched on are no obstacle.
  const bool not_wanted = answer.error_code() == grpc::StatusCode::FAILED_PRECONDITION;
  if (!answer.ok() && !not_wanted) return answer;
  token = response.token();
  base::MutexLock lock(mutex_);
  logged_in_ = true;
  token_ = token;
  return grpc::Status::OK;
}

void EtcdClient::ForgetLogin() {
  base::MutexLock lock(mutex_);
  logged_in_ = false;
  token_.clear();
}

void EtcdClient::Pause(base::Duration limit) {
  base::MutexLock lock(mutex_);
  paused_.WaitFor(mutex_, limit);
}

}  // namespace understudy::etcd
