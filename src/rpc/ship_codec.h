// SPDX-License-Identifier: Apache-2.0
// ship::Message <-> v1::ShipMessage, field by field; nothing is decided here.
//
// FromProto refuses (kInvalidArgument) what no correct peer sends (ship::CheckMessage).
// Threading: pure functions.
#pragma once

#include "base/status.h"
#include "ship/messages.h"
#include "understudy/v1/replication.pb.h"

namespace understudy::rpc {

void ToProto(const ship::Message& message, v1::ShipMessage& out);
base::Result<ship::Message> FromProto(const v1::ShipMessage& message);

}  // namespace understudy::rpc
