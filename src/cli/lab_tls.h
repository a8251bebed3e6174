// SPDX-License-Identifier: Apache-2.0
// TLS in a lab: an authority, whose key the first server has, a certificate for each server, and
// one for the commands in `<directory>/identity.pem`.
//
// They are made here, in one place, because the servers share a machine; how servers join a real
// group is docs/joining.md. Threading: pure functions over Env.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "cli/lab_state.h"
#include "env/env.h"

namespace understudy::cli {

std::string LabIdentityPath(const std::string& directory);
// Whether the lab in `directory`, running or not, was made with TLS.
bool LabHasTls(env::Env& env, const std::string& directory);

// Makes what is missing or has ended. REQUIRES: the servers' data directories are there.
base::Status PrepareTls(env::Env& env, const LabState& state);

}  // namespace understudy::cli
