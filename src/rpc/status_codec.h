// SPDX-License-Identifier: Apache-2.0
// base::Status <-> grpc::Status with an ErrorDetail.
//
// A Status message may have a second line: the hint. It travels as ErrorDetail.hint and is the
// second line again at the other end. Only src/rpc/ includes this header (it brings in grpc).
// Threading: pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/status.h"

namespace understudy::rpc {

grpc::Status ToGrpc(const base::Status& status);

// `peer` is named in the message when the failure is the connection's and not the peer's own.
base::Status FromGrpc(const grpc::Status& status, const std::string& peer);

}  // namespace understudy::rpc
