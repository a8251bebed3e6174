// SPDX-License-Identifier: Apache-2.0
// The command: see src/cli/main.h and docs/reference/cli.md.
#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "cli/main.h"
#include "env/env.h"

int main(int argc, char** argv) {
  // A reader of our output that goes away ends the command by a failed write, not by a signal.
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  return static_cast<int>(
      understudy::cli::Run(arguments, std::cout, std::cerr, understudy::env::PosixEnv()));
}
