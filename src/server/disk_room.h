// SPDX-License-Identifier: Apache-2.0
// CheckRoom: whether a database that is to be made somewhere fits there, before it is begun.
// Threading: pure function. Errors: kNoSpace with the numbers; those of Env.
#pragma once

#include <string>

#include "env/env.h"

namespace understudy::server {

// Left free on a disk where databases are made.
inline constexpr uint64_t kRoomLeft = 64 << 20;

// `what` begins the sentence: "the database is made in DIRECTORY first".
base::Status CheckRoom(env::Env& env, const std::string& directory, uint64_t bytes,
                       const std::string& what);

}  // namespace understudy::server
