// SPDX-License-Identifier: Apache-2.0
#include "rpc/join_listener.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include "rpc/status_codec.h"
#include "rpc/tls_credentials.h"
#include "understudy/v1/membership.grpc.pb.h"

namespace understudy::rpc {
namespace {

class JoinService final : public v1::Join::Service {
 public:
  explicit JoinService(JoinBackend& backend) : backend_(backend) {}

  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* request,
                    v1::JoinResponse* response) override {
    base::Result<v1::JoinResponse> result = backend_.Join(*request, context->peer());
    if (!result.ok()) return ToGrpc(result.status());
    *response = std::move(result).value();
    return grpc::Status::OK;
  }

 private:
  JoinBackend& backend_;
};

}  // namespace

struct JoinListener::State {
  explicit State(JoinBackend& backend) : service(backend) {}
  JoinService service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

JoinListener::JoinListener(std::unique_ptr<State> state) : state_(std::move(state)) {}

JoinListener::~JoinListener() {
  state_->server->Shutdown(gpr_now(GPR_CLOCK_MONOTONIC));
  state_->server->Wait();
}

base::Result<std::unique_ptr<JoinListener>> JoinListener::Start(const std::string& listen,
                                                                const tls::TlsDirectory& directory,
                                                                JoinBackend& backend) {
  auto state = std::make_unique<State>(backend);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kJoinMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetResourceQuota(grpc::ResourceQuota("join").SetMaxThreads(kJoinThreadsMax));
  builder.AddListeningPort(listen, JoinServerCredentials(directory), &state->port);
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr || state->port == 0) {
    return base::Unavailable(fmt::format(
        "cannot listen on {} for joining servers: the address is in use or not of this machine "
        "(setting tls.join_listen)",
        listen));
  }
  return std::unique_ptr<JoinListener>(new JoinListener(std::move(state)));
}

int JoinListener::port() const { return state_->port; }

}  // namespace understudy::rpc
