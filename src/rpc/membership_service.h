// SPDX-License-Identifier: Apache-2.0
// The Membership service over a MembershipBackend: translates and nothing else. Only src/rpc/
// includes this header. Threading: thread-safe.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "rpc/membership_backend.h"

namespace understudy::rpc {

// `backend` is borrowed and must outlive the service.
std::unique_ptr<grpc::Service> MakeMembershipService(MembershipBackend& backend);

}  // namespace understudy::rpc
