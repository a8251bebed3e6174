// SPDX-License-Identifier: Apache-2.0
// RpcServer: listens, and hands calls to an AdminBackend and connections of other servers to a
// ShipAcceptor.
//
// Synchronous gRPC: every running call and every connection has a thread of gRPC's own
// ("grpcpp_sync_ser"). Threading: thread-safe. No grpc header is needed to use it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "rpc/admin_backend.h"
#include "rpc/channel_security.h"
#include "rpc/membership_backend.h"
#include "rpc/ship_connection.h"

namespace understudy::rpc {

class ShipAcceptor {
 public:
  virtual ~ShipAcceptor() = default;
  // Serves one connection, on its own thread, until connection.closed().
  virtual void Serve(ShipConnection& connection) = 0;
};

class RpcServer {
 public:
  struct Options {
    std::string listen;       // "host:port" (port 0: any free one) or "unix:/path"
    std::string server_name;  // for the hello
    base::Duration hello_timeout = std::chrono::seconds(5);
    // Nothing: plaintext. Else nobody without a certificate of the group gets a byte.
    std::optional<ServerSecurity> security = {};
    MembershipBackend* membership = nullptr;  // null: that service is not offered; as `backend`
  };
  // `backend` and `acceptor` are borrowed and must outlive this. kUnavailable when the address
  // cannot be bound.
  static base::Result<std::unique_ptr<RpcServer>> Start(const Options& options,
                                                        AdminBackend& backend,
                                                        ShipAcceptor& acceptor);
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  int port() const;
  // No new calls; running ones get `grace`, then are cancelled; returns when all have ended.
  void Shutdown(base::Duration grace);

 private:
  struct State;
  explicit RpcServer(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::rpc
