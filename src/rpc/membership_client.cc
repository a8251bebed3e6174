// SPDX-License-Identifier: Apache-2.0
#include "rpc/membership_client.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "base/first_line.h"
#include "rpc/channel_args.h"
#include "rpc/status_codec.h"
#include "rpc/tls_credentials.h"
#include "understudy/v1/membership.grpc.pb.h"

namespace understudy::rpc {
namespace {

void SetDeadline(grpc::ClientContext& context, base::Duration timeout) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(milliseconds, GPR_TIMESPAN)));
}

}  // namespace

struct MembershipClient::State {
  std::string name;  // for messages
  std::unique_ptr<v1::Membership::Stub> stub;

  template <typename Request, typename Response>
  base::Result<Response> Call(grpc::Status (v1::Membership::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                              const Request& request, base::Duration timeout) {
    grpc::ClientContext context;
    SetDeadline(context, timeout);
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status, name);
    return response;
  }
};

MembershipClient::MembershipClient(const std::string& address, const ChannelSecurity& security)
    : state_(std::make_unique<State>()) {
  state_->name = security.server.empty() ? fmt::format("the server at {}", address)
                                         : fmt::format("server {} ({})", security.server, address);
  grpc::ChannelArguments arguments = ClientArguments();
  const auto credentials = ChannelCredentials(security, arguments);
  state_->stub =
      v1::Membership::NewStub(grpc::CreateCustomChannel(address, credentials, arguments));
}

MembershipClient::~MembershipClient() = default;

base::Result<v1::MakeTokenResponse> MembershipClient::MakeToken(const v1::MakeTokenRequest& request,
                                                                base::Duration timeout) {
  return state_->Call(&v1::Membership::Stub::MakeToken, request, timeout);
}
base::Result<v1::SignResponse> MembershipClient::Sign(const v1::SignRequest& request,
                                                      base::Duration timeout) {
  return state_->Call(&v1::Membership::Stub::Sign, request, timeout);
}
base::Result<v1::ListCertificatesResponse> MembershipClient::ListCertificates(
    const v1::ListCertificatesRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Membership::Stub::ListCertificates, request, timeout);
}
base::Result<v1::RemoveServerResponse> MembershipClient::RemoveServer(
    const v1::RemoveServerRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Membership::Stub::RemoveServer, request, timeout);
}
base::Result<v1::RevokeClientResponse> MembershipClient::RevokeClient(
    const v1::RevokeClientRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Membership::Stub::RevokeClient, request, timeout);
}

base::Result<v1::JoinResponse> JoinGroup(env::Env& env, const tls::JoinToken& token,
                                         const v1::JoinRequest& request, base::Duration timeout) {
  base::Status last = base::InvalidArgument("the token has no address");
  for (const std::string& address : token.addresses) {
    grpc::ChannelArguments arguments = ClientArguments();
    const auto credentials = JoinChannelCredentials(env, token, arguments);
    const auto stub = v1::Join::NewStub(grpc::CreateCustomChannel(address, credentials, arguments));
    grpc::ClientContext context;
    SetDeadline(context, timeout);
    v1::JoinResponse response;
    const grpc::Status status = stub->Join(&context, request, &response);
    if (status.ok()) return response;
    last = FromGrpc(status, fmt::format("the join listener at {}", address));
    if (last.code() != base::Code::kUnavailable) return last;
  }
  if (last.code() != base::Code::kUnavailable) return last;
  return base::Unavailable(
      base::FirstLine(last.message()) +
      "\nservers listen for others only while there is a token that was not used "
      "and has not ended: 'understudy server token' on a member makes another");
}

}  // namespace understudy::rpc
