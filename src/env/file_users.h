// SPDX-License-Identifier: Apache-2.0
// FileUsers: which processes have a file open, after Linux's /proc. Of processes of other users
// only root sees it, so an answer of none is no proof: whoever must be sure takes a lock as well.
// Threading: pure function over Env. Errors: none; what cannot be read has nothing open.
#pragma once

#include <string>
#include <vector>

#include "env/env.h"

namespace understudy::env {

inline constexpr size_t kFileUsersMax = 8;  // named; more make no difference to a person

struct FileUser {
  std::string pid;
  std::string name;  // of its program; may be empty
};

// Our own process counts too.
std::vector<FileUser> FileUsers(Env& env, const std::string& path);
// kBusy, naming them, when there are any.
base::Status CheckNotInUse(Env& env, const std::string& path);

}  // namespace understudy::env
