// SPDX-License-Identifier: Apache-2.0
// The role of a client, as its certificate says it (docs/design/0023-access.md): a DNS name among
// its alternative names, "viewer.role.understudy". One without any has all rights; with several,
// the least counts; one that is not known makes the certificate worthless.
// Threading: pure functions. Errors: kInvalidArgument.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/role.h"
#include "base/status.h"

namespace understudy::tls {

std::string RoleHost(base::Role role);
// Nothing for a host that is no role.
base::Result<std::optional<base::Role>> RoleOfHost(std::string_view host);
// Of the first certificate in `pem`.
base::Result<base::Role> RoleOfCertificate(std::string_view pem);

}  // namespace understudy::tls
