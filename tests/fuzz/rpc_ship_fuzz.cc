// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as a message between two servers are refused or understood; what is
// understood keeps to the limits of a correct peer, and comes back as it was when sent on.
#include <string>

#include "base/check.h"
#include "rpc/ship_codec.h"

namespace rpc = understudy::rpc;
namespace ship = understudy::ship;
namespace v1 = understudy::v1;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  v1::ShipMessage wire;
  if (!wire.ParseFromArray(data, static_cast<int>(size))) return 0;
  const auto message = rpc::FromProto(wire);
  if (!message.ok()) return 0;
  CHECK(ship::CheckMessage(*message).ok());
  CHECK(ship::MessageBytes(*message) > 0);
  v1::ShipMessage again;
  rpc::ToProto(*message, again);
  const auto back = rpc::FromProto(again);
  CHECK(back.ok() && back->index() == message->index());
  v1::ShipMessage third;
  rpc::ToProto(*back, third);
  CHECK(third.SerializeAsString() == again.SerializeAsString());
  return 0;
}
