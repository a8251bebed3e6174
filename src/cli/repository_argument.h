// SPDX-License-Identifier: Apache-2.0
// A repository as it was typed: the name of one of the group's, a bucket ("s3://…") or a directory.
// A plain word is a name; the directory of that name is ./WORD. Threading: confined to the main
// thread.
#pragma once

#include <string>

#include "cli/command.h"

namespace understudy::cli {

// As a server understands it: the path of a directory becomes absolute, the rest stays, and nothing
// stays nothing (the default).
std::string AbsoluteLocation(const std::string& typed);

// Whether only a server knows where it is.
bool NeedsServer(const std::string& typed);
// Where this machine finds it. One of the group's is asked of a server. REQUIRES: not empty.
base::Result<std::string> LocationHere(Context& context, const std::string& typed);

// "--repo", or what it is called. What is said of it is the same everywhere.
CLI::Option* AddRepository(CLI::App& app, const std::string& option, std::string& target);

}  // namespace understudy::cli
