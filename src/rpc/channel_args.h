// SPDX-License-Identifier: Apache-2.0
// The settings of every gRPC connection: message limits and keepalive (protocol.h).
// Only src/rpc/ includes this header. Threading: pure functions.
#pragma once

#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

namespace understudy::rpc {

grpc::ChannelArguments ClientArguments();
void SetServerArguments(grpc::ServerBuilder& builder);

}  // namespace understudy::rpc
