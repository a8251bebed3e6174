// SPDX-License-Identifier: Apache-2.0
// The etcd members of a lab, one beside each server. Their addresses are kept in
// `<directory>/etcd.json` for as long as the lab's files are there, because a member's data knows
// the others by them.
// Threading: pure functions over Env. Errors: kInvalidArgument (these servers do not fit the
// members that are there), kCorruption.
#pragma once

#include "base/status.h"
#include "cli/lab_state.h"
#include "env/env.h"

namespace understudy::cli {

// Whether the lab in `directory`, running or not, was made with etcd.
bool LabHasEtcd(env::Env& env, const std::string& directory);

// Gives every server of `state` a member: the one it had, or one on free ports.
base::Status AssignMembers(env::Env& env, LabState& state);

}  // namespace understudy::cli
