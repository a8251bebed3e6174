// SPDX-License-Identifier: Apache-2.0
// Which role each call needs: the one table of it, for every service of the main port. A test
// compares it with the descriptors, so that a new call without a role does not pass.
//
// A call that is not in the table is refused to everybody but servers. Threading: constants and
// pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/role.h"
#include "base/status.h"
#include "rpc/channel_security.h"
#include "understudy/v1/membership.pb.h"

namespace understudy::rpc {

enum class Need {
  kViewer,
  kOperator,
  kAdmin,
  kServer,  // what is between the servers of a group
};
struct CallRole {
  std::string_view path;  // "/understudy.v1.Admin/Status"
  Need need;
  bool changes = false;  // something: it is told in the audit (audit.h)
};

std::span<const CallRole> CallRoles();
const CallRole* FindCall(std::string_view path);  // null: there is none

// Whether the holder, a client with `role` or a server, may make the call; kFenced says what is
// missing and how to get it.
base::Status CheckRole(const tls::Certificate& holder, base::Role role, std::string_view path);

// Puts into the order for a client's certificate which role it gets: the caller's own again, or
// what an admin or another server says; kFenced for more than that.
base::Status DecideRole(const Caller& caller, base::Role role, v1::SignRequest& order);

}  // namespace understudy::rpc
