// SPDX-License-Identifier: Apache-2.0
// The Admin service over an AdminBackend: translates and nothing else. Only src/rpc/ includes this
// header. Threading: thread-safe.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <memory>

#include "rpc/admin_backend.h"

namespace understudy::rpc {

// Whether the certificate of who called counts still.
using IsWelcomeStill = std::function<bool(const grpc::ServerContext&)>;

// `backend` is borrowed and must outlive the service. A running call whose caller is no longer
// welcome is cancelled.
std::unique_ptr<grpc::Service> MakeAdminService(AdminBackend& backend, IsWelcomeStill welcome);

}  // namespace understudy::rpc
