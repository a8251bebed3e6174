// SPDX-License-Identifier: Apache-2.0
#include "server/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

namespace understudy::server {
namespace {

constexpr size_t kReadBytes = 16 << 10;
constexpr int kNoExec = 127;

base::Status SystemError(const std::string& what) {
  return base::IoError(fmt::format("{}: {}", what, std::strerror(errno)));
}

// Between fork and exec: only what may be called there with other threads about.
[[noreturn]] void BecomeProgram(char* const* arguments, char* const* environment, int output,
                                pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kNoExec);  // it died before we said that
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  ::execve(arguments[0], arguments, environment);
  ::_exit(kNoExec);
}

std::vector<char*> EnvironmentOfAChild() {
  constexpr std::string_view kOurs[] = {
      "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=", "LISTEN_FDS=", "LISTEN_PID="};
  std::vector<char*> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const bool ours = std::any_of(std::begin(kOurs), std::end(kOurs),
                                  [&](std::string_view name) { return text.starts_with(name); });
    if (!ours) kept.push_back(*entry);
  }
  kept.push_back(nullptr);
  return kept;
}

void Close(int& descriptor) {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

}  // namespace

base::Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return base::NotFound(fmt::format("{} is not there or not a program", name));
  }
  const char* const variable = std::getenv("PATH");
  std::string_view rest = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    const std::string path = fmt::format("{}/{}", directory, name);
    if (!directory.empty() && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return base::NotFound(fmt::format("there is no program {} in PATH", name));
}

base::Result<ChildProcess> ChildProcess::Start(const std::vector<std::string>& command) {
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return SystemError("cannot make a pipe");
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  const std::vector<char*> environment = EnvironmentOfAChild();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) BecomeProgram(arguments.data(), environment.data(), ends[1], parent);
  const base::Status failed = SystemError(fmt::format("cannot start {}", command[0]));
  Close(ends[1]);
  const int process = pid < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  ChildProcess child(std::max(pid, 0), process, ends[0]);
  if (process < 0) return failed;
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      process_(std::exchange(other.process_, -1)),
      output_(std::exchange(other.output_, -1)),
      status_(other.status_) {}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    Reap();
  }
  Close(process_);
  Close(output_);
}

void ChildProcess::Signal(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

// Our own child keeps its id until it is waited for, so no other process is meant here.
void ChildProcess::Reap() {
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

ChildProcess::Output ChildProcess::Read(int wake, base::Duration limit) {
  const auto milliseconds =
      std::chrono::ceil<std::chrono::milliseconds>(std::max(limit, base::Duration(0))).count();
  pollfd waits[3] = {{.fd = output_, .events = POLLIN, .revents = 0},
                     {.fd = process_, .events = POLLIN, .revents = 0},
                     {.fd = wake, .events = POLLIN, .revents = 0}};
  ::poll(waits, 3, static_cast<int>(std::min<int64_t>(milliseconds, 1 << 30)));
  Output result;
  result.woken = waits[2].revents != 0;
  result.text.resize(kReadBytes);
  const ssize_t length = output_ < 0 ? 0 : ::read(output_, result.text.data(), kReadBytes);
  result.text.resize(length > 0 ? static_cast<size_t>(length) : 0);
  // Its own children may hold the pipe open for longer; what they print is not its output.
  if (length == 0) Close(output_);
  result.ended = waits[1].revents != 0 && length <= 0;
  return result;
}

std::string ChildProcess::HowItEnded() {
  if (pid_ > 0) Reap();
  if (WIFSIGNALED(status_)) return fmt::format("signal {}", WTERMSIG(status_));
  return fmt::format("exit code {}", WEXITSTATUS(status_));
}

}  // namespace understudy::server
