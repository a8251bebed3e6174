// SPDX-License-Identifier: Apache-2.0
#include "server/supervisor.h"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigtimedwait is POSIX
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "server/fence.h"

namespace understudy::server {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
// A daemon that ran for less has not stayed up.
constexpr base::Duration kStayedUp = std::chrono::seconds(10);
constexpr base::Duration kRestartPauseMin = std::chrono::seconds(1);
constexpr base::Duration kRestartPauseMax = std::chrono::seconds(30);

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
  return signals;
}

pid_t StartChild(const std::string& config_path) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(kFailed);  // it died before that
  const sigset_t signals = Signals();
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  execl("/proc/self/exe", "understudyd", "--config", config_path.c_str(), nullptr);
  _exit(kFailed);
}

int ExitCode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : kFailed; }

// The signal that came within `limit`; 0: none.
int NextSignal(std::optional<base::Duration> limit) {
  const sigset_t signals = Signals();
  if (!limit) return std::max(0, sigwaitinfo(&signals, nullptr));
  const timespec time{*limit / std::chrono::seconds(1), (*limit % std::chrono::seconds(1)).count()};
  return std::max(0, sigtimedwait(&signals, nullptr, &time));
}

// Waits for the child's end, passing signals on. True: somebody asked for the end.
bool Follow(pid_t child, int& status) {
  bool stopping = false;
  while (true) {
    const int number = NextSignal(std::nullopt);
    if (number == SIGTERM || number == SIGINT) stopping = true;
    if (number != 0 && number != SIGCHLD) kill(child, number);
    if (waitpid(child, &status, WNOHANG) == child) return stopping;
  }
}

void ApplyFence(env::Env& env, const std::string& config_path) {
  const base::Status fenced = RunFence(env, config_path);
  if (!fenced.ok()) std::fprintf(stderr, "understudyd: fence: %s\n", fenced.message().c_str());
}

}  // namespace

int RunSupervised(env::Env& env, const std::string& config_path) {
  const sigset_t signals = Signals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  base::Duration pause = kRestartPauseMin;
  while (true) {
    const base::SteadyTime started = env.Now();
    const pid_t child = StartChild(config_path);
    int status = 0;
    if (child < 0) {
      std::fprintf(stderr, "understudyd: the daemon could not be started\n");
      ApplyFence(env, config_path);
    } else {
      const bool asked = Follow(child, status);
      if (asked) return ExitCode(status);
      std::fprintf(stderr, "understudyd: the daemon ended by itself (%s %d); starting it again\n",
                   WIFSIGNALED(status) ? "signal" : "exit code",
                   WIFSIGNALED(status) ? WTERMSIG(status) : ExitCode(status));
      if (env.Now() - started >= kStayedUp) {
        pause = kRestartPauseMin;
        continue;
      }
      ApplyFence(env, config_path);
      if (ExitCode(status) == kUsage) return kUsage;
    }
    const int number = NextSignal(pause);
    if (number == SIGTERM || number == SIGINT) return 0;
    pause = std::min(pause * 2, kRestartPauseMax);
  }
}

}  // namespace understudy::server
