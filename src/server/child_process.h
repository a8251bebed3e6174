// SPDX-License-Identifier: Apache-2.0
// ChildProcess: one program that this process runs and reads the output of.
//
// The child is killed when the thread that started it ends, so that nothing survives a daemon that
// was killed: start it on a thread that lives as long as the child may. It inherits standard input
// and nothing else that is open, and the environment but for what an init system told this process
// (else it would report READY=1 in our place); its signals are the defaults.
// Threading: confined to the thread that started it. Errors: kIoError, kNotFound.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace understudy::server {

// The program's path, as the shell would find it; kNotFound names what was looked for.
base::Result<std::string> FindProgram(const std::string& name);

class ChildProcess {
 public:
  // command[0] is the program's path.
  static base::Result<ChildProcess> Start(const std::vector<std::string>& command);
  ~ChildProcess();  // kills it if it was not ended
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;

  struct Output {
    std::string text;
    bool ended = false;  // the process has ended and all of its output was read
    bool woken = false;  // `wake` became readable
  };
  // What it printed next, waiting for that, for its end, or for the descriptor `wake` (-1: none) to
  // become readable; at most for `limit`.
  Output Read(int wake, base::Duration limit);
  // "exit code 1" or "signal 9". REQUIRES: ended.
  std::string HowItEnded();

 private:
  ChildProcess(pid_t pid, int process, int output)
      : pid_(pid), process_(process), output_(output) {}
  void Reap();

  pid_t pid_ = 0;     // 0: moved from, or waited for
  int process_ = -1;  // its pidfd
  int output_ = -1;   // the reading end of its standard output and error
  int status_ = 0;
};

}  // namespace understudy::server
