// SPDX-License-Identifier: Apache-2.0
#include "rpc/dialer.h"

#include <utility>

#include "rpc/admin_client.h"
#include "rpc/ship_connection.h"

namespace understudy::rpc {
namespace {

class OverGrpc final : public Dialer {
 public:
  base::Result<std::unique_ptr<AdminClient>> DialAdmin(const std::string& address,
                                                       base::Duration timeout,
                                                       const ChannelSecurity& security) override {
    return AdminClient::Connect(address, timeout, security);
  }
  base::Result<std::unique_ptr<ShipConnection>> DialShip(const std::string& address,
                                                         const std::string& expected_peer,
                                                         const std::string& own_name,
                                                         std::shared_ptr<Signal> signal,
                                                         base::Duration timeout,
                                                         const ChannelSecurity& security) override {
    return rpc::DialShip(address, expected_peer, own_name, std::move(signal), timeout, security);
  }
};

}  // namespace

Dialer& GrpcDialer() {
  static OverGrpc dialer;
  return dialer;
}

}  // namespace understudy::rpc
