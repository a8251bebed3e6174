// SPDX-License-Identifier: Apache-2.0
// What a person or a program may do in a group (docs/security.md). Each role may what those before
// it may. Threading: values and pure functions.
#pragma once

#include <optional>
#include <string_view>

namespace understudy::base {

enum class Role {
  kViewer,    // sees states, events and metrics, no content of databases
  kOperator,  // runs the group from day to day: moves, suspends, backs up
  kAdmin,     // decides what the group is: databases, copies, settings, members, who gets in
};

constexpr std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kViewer: return "viewer";
    case Role::kOperator: return "operator";
    case Role::kAdmin: return "admin";
  }
  return "";
}

constexpr std::optional<Role> RoleFromName(std::string_view name) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    if (RoleName(role) == name) return role;
  }
  return std::nullopt;
}

constexpr bool Includes(Role has, Role needed) { return has >= needed; }

}  // namespace understudy::base
