// SPDX-License-Identifier: Apache-2.0
// RunProgram: runs another program to its end, or to a limit.
//
// No shell is involved. The program is the head of a process group of its own; when the limit
// passes the group is killed. It inherits no descriptor of ours but /dev/null as input and a pipe
// as output and error, of which the last kProgramOutputKept bytes are kept. Its children may
// outlive it when it ends by itself. Threading: thread-safe; the caller waits, so it must hold no
// mutex.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace understudy::server {

inline constexpr size_t kProgramOutputKept = 4096;
inline constexpr size_t kProgramLineBytesMax = 300;

struct Program {
  std::vector<std::string> words;  // words[0] is its path
  // Added to our own environment, without what systemd told us.
  std::vector<std::pair<std::string, std::string>> environment;
  base::Duration limit{};
};

struct ProgramEnd {
  bool timed_out = false;  // and killed
  int exit_code = 0;       // 128 + the signal, as shells have it
  std::string last_line;   // that it printed and that is not empty, at most kProgramLineBytesMax
};

// kIoError when it cannot be started.
base::Result<ProgramEnd> RunProgram(const Program& program);

}  // namespace understudy::server
