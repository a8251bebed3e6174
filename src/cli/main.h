// SPDX-License-Identifier: Apache-2.0
// The whole `understudy` command: parses, runs one command, prints, returns the exit code.
// Threading: main thread.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "cli/output.h"
#include "env/env.h"

namespace understudy::cli {

// `arguments` without the program's name. Results go to `out`, the rest to `error`.
ExitCode Run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& error,
             env::Env& env);

}  // namespace understudy::cli
