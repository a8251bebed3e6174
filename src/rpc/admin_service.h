// SPDX-License-Identifier: Apache-2.0
// The Admin service over an AdminBackend: translates and nothing else. Only src/rpc/ includes this
// header. Threading: thread-safe.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "rpc/admin_backend.h"

namespace understudy::rpc {

// `backend` is borrowed and must outlive the service.
std::unique_ptr<grpc::Service> MakeAdminService(AdminBackend& backend);

}  // namespace understudy::rpc
