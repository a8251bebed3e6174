// SPDX-License-Identifier: Apache-2.0
#include "rpc/rpc_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "base/diag.h"
#include "rpc/admin_service.h"
#include "rpc/audit.h"
#include "rpc/channel_args.h"
#include "rpc/membership_service.h"
#include "rpc/status_codec.h"
#include "rpc/tls_credentials.h"
#include "understudy/v1/replication.grpc.pb.h"

namespace understudy::rpc {
namespace {

class ServerShipStream final : public ShipStream {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ShipMessage, v1::ShipMessage>;
  // `welcome` tells whether the peer's certificate counts still.
  ServerShipStream(grpc::ServerContext& context, Stream& stream, std::function<bool()> welcome)
      : context_(context), stream_(stream), welcome_(std::move(welcome)) {}

  bool Read(v1::ShipMessage& message) override {
    if (stream_.Read(&message) && welcome_()) return true;
    context_.TryCancel();  // a peer that only ended its half must not leave our writer waiting
    return false;
  }
  bool Write(const v1::ShipMessage& message) override {
    return welcome_() && stream_.Write(message);
  }
  void Cancel() override { context_.TryCancel(); }
  base::Status Finish() override { return {}; }  // the handler's return value ends the stream

 private:
  grpc::ServerContext& context_;
  Stream& stream_;
  const std::function<bool()> welcome_;
};

bool IsWelcome(const std::optional<ServerSecurity>& security, const Caller& caller) {
  if (!security || security->policy == nullptr) return true;
  return caller.certificate && security->policy->Check(*caller.certificate).ok();
}

class ReplicationService final : public v1::Replication::Service {
 public:
  ReplicationService(const RpcServer::Options& options, ShipAcceptor& acceptor)
      : options_(options), acceptor_(acceptor) {}

  grpc::Status Connect(grpc::ServerContext* context, ServerShipStream::Stream* stream) override {
    const Caller caller = CallerOf(*context);
    base::Result<std::unique_ptr<ShipConnection>> connection = ShipConnection::Open(
        std::make_unique<ServerShipStream>(*context, *stream,
                                           [&] { return IsWelcome(options_.security, caller); }),
        options_.server_name, std::make_shared<Signal>(), options_.hello_timeout);
    if (connection.ok() && options_.security && !caller.IsServer((*connection)->peer())) {
      connection = base::Fenced(fmt::format(
          "it calls itself server {}, but has the certificate of {}", (*connection)->peer(),
          caller.certificate ? caller.certificate->Holder() : "nobody"));
    }
    if (!connection.ok()) {
      base::Diag(base::DiagLevel::kWarning, "rpc", "a connection was refused",
                 {{"peer", context->peer()}, {"why", connection.status().ToString()}});
      return ToGrpc(connection.status());
    }
    acceptor_.Serve(**connection);
    return grpc::Status::OK;
  }

 private:
  const RpcServer::Options options_;
  ShipAcceptor& acceptor_;
};

}  // namespace

struct RpcServer::State {
  State(const Options& options, AdminBackend& backend, ShipAcceptor& acceptor)
      : admin(MakeAdminService(backend,
                               [security = options.security](const grpc::ServerContext& context) {
                                 return IsWelcome(security, CallerOf(context));
                               })),
        replication(options, acceptor) {
    if (options.membership != nullptr) membership = MakeMembershipService(*options.membership);
  }

  const std::unique_ptr<grpc::Service> admin;
  std::unique_ptr<grpc::Service> membership;
  ReplicationService replication;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

RpcServer::RpcServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
RpcServer::~RpcServer() { Shutdown(base::Duration(0)); }

base::Result<std::unique_ptr<RpcServer>> RpcServer::Start(const Options& options,
                                                          AdminBackend& backend,
                                                          ShipAcceptor& acceptor) {
  auto state = std::make_unique<State>(options, backend, acceptor);
  grpc::ServerBuilder builder;
  SetServerArguments(builder);
  AuditCalls(builder);
  builder.AddListeningPort(options.listen, ServerCredentials(options.security), &state->port);
  builder.RegisterService(state->admin.get());
  builder.RegisterService(&state->replication);
  if (state->membership != nullptr) builder.RegisterService(state->membership.get());
  state->server = builder.BuildAndStart();
  if (state->server == nullptr || (state->port == 0 && options.listen.rfind("unix:", 0) != 0)) {
    return base::Unavailable(
        fmt::format("cannot listen on {}: the address is in use or not of this machine (setting "
                    "server.listen)",
                    options.listen));
  }
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(state)));
}

int RpcServer::port() const { return state_->port; }

void RpcServer::Shutdown(base::Duration grace) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(grace).count();
  state_->server->Shutdown(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(milliseconds, GPR_TIMESPAN)));
  state_->server->Wait();
}

}  // namespace understudy::rpc
