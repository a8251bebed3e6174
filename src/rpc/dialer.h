// SPDX-License-Identifier: Apache-2.0
// Dialer: how a server reaches others. The daemon's is gRPC's; the simulator has one of its own,
// over a network whose faults a seed decides. Threading: thread-safe.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "rpc/channel_security.h"
#include "rpc/signal.h"

namespace understudy::rpc {

class AdminClient;
class ShipConnection;

class Dialer {
 public:
  virtual ~Dialer() = default;
  // As AdminClient::Connect.
  virtual base::Result<std::unique_ptr<AdminClient>> DialAdmin(const std::string& address,
                                                               base::Duration timeout,
                                                               const ChannelSecurity& security) = 0;
  // As DialShip (ship_connection.h).
  virtual base::Result<std::unique_ptr<ShipConnection>> DialShip(
      const std::string& address, const std::string& expected_peer, const std::string& own_name,
      std::shared_ptr<Signal> signal, base::Duration timeout, const ChannelSecurity& security) = 0;
};

Dialer& GrpcDialer();

// What carries the calls of an AdminClient that has no gRPC: each is known by the type of its
// request. Threading: thread-safe.
class CallCarrier {
 public:
  virtual ~CallCarrier() = default;
  virtual base::Status Call(const google::protobuf::Message& request,
                            google::protobuf::Message& response, base::Duration timeout) = 0;
};

}  // namespace understudy::rpc
