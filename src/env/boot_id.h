// SPDX-License-Identifier: Apache-2.0
// BootId: differs for each start of the machine, so that a process can tell a power cut or reboot
// from its own restart. Linux's random boot id; in a MemEnv whatever a test wrote to kBootIdPath.
// Threading: pure function over Env. Errors: kNotFound on a system without it, those of Env.
#pragma once

#include <string>

#include "env/env.h"

namespace understudy::env {

inline constexpr const char* kBootIdPath = "/proc/sys/kernel/random/boot_id";

base::Result<std::string> BootId(Env& env);

}  // namespace understudy::env
