// SPDX-License-Identifier: Apache-2.0
// The connecting end of a ShipConnection: a client stream of the Replication service.
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include "rpc/channel_args.h"
#include "rpc/ship_connection.h"
#include "rpc/status_codec.h"
#include "rpc/tls_credentials.h"
#include "understudy/v1/replication.grpc.pb.h"

namespace understudy::rpc {
namespace {

class ClientShipStream final : public ShipStream {
 public:
  ClientShipStream(std::shared_ptr<grpc::Channel> channel, std::string peer)
      : peer_(std::move(peer)),
        channel_(std::move(channel)),
        stub_(v1::Replication::NewStub(channel_)),
        stream_(stub_->Connect(&context_)) {}

  bool Read(v1::ShipMessage& message) override { return stream_->Read(&message); }
  bool Write(const v1::ShipMessage& message) override { return stream_->Write(message); }
  void Cancel() override { context_.TryCancel(); }
  base::Status Finish() override { return FromGrpc(stream_->Finish(), peer_); }

 private:
  const std::string peer_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Replication::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::ShipMessage, v1::ShipMessage>> stream_;
};

}  // namespace

base::Result<std::unique_ptr<ShipConnection>> DialShip(
    const std::string& address, const std::string& expected_peer, const std::string& own_name,
    std::shared_ptr<Signal> signal, base::Duration timeout, ChannelSecurity security) {
  const std::string peer = fmt::format("server {} ({})", expected_peer, address);
  security.server = expected_peer;
  grpc::ChannelArguments arguments = ClientArguments();
  const auto credentials = ChannelCredentials(security, arguments);
  auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  const gpr_timespec deadline =
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(milliseconds, GPR_TIMESPAN));
  if (!channel->WaitForConnected(deadline)) {
    return base::Unavailable(fmt::format("{} is not reachable", peer));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ShipConnection> connection,
                   ShipConnection::Open(std::make_unique<ClientShipStream>(channel, peer), own_name,
                                        std::move(signal), timeout));
  if (connection->peer() != expected_peer) {
    return base::InvalidArgument(
        fmt::format("at {} answers server {}, not {}: look at its address in the registry and at "
                    "[peers] in the configuration",
                    address, connection->peer(), expected_peer));
  }
  return connection;
}

}  // namespace understudy::rpc
