// SPDX-License-Identifier: Apache-2.0
#include "server/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>

extern char** environ;

namespace understudy::server {
namespace {

using Clock = std::chrono::steady_clock;

// A process that was killed is gone at once unless the kernel holds it.
constexpr base::Duration kKillLimit = std::chrono::seconds(5);
// After its end only what is in the pipe is read: somebody may still hold its other end.
constexpr int kReadsAfterEndMax = 64;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

base::Status SystemError(const std::string& what, int error) {
  return base::IoError(fmt::format("{}: {}", what, std::strerror(error)));
}

std::vector<std::string> Variables(const Program& program) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool ours = false;
    for (const auto& [name, value] : program.environment) {
      ours = ours || text.starts_with(name + "=");
    }
    // A program that says READY=1 must not say it for us.
    for (const std::string_view name : {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_"}) {
      ours = ours || text.starts_with(name);
    }
    if (!ours) variables.emplace_back(text);
  }
  for (const auto& [name, value] : program.environment) variables.push_back(name + "=" + value);
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

base::Result<pid_t> Spawn(const Program& program, int output) {
  std::vector<std::string> words = program.words;
  std::vector<std::string> variables = Variables(program);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
  // All of ours are close-on-exec; this one is for descriptors that a library made otherwise.
  ::posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);  // the daemon's threads block some
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);  // the daemon ignores it
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, words[0].c_str(), &files, &attributes,
                                  Pointers(words).data(), Pointers(variables).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) return SystemError("cannot start " + words[0], error);
  return pid;
}

int MillisecondsUntil(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
}

// False at the end of the output, or when nothing is there now.
bool ReadSome(int from, std::string& kept) {
  char bytes[4096];
  const ssize_t length = ::read(from, bytes, sizeof(bytes));
  if (length < 0) return errno == EINTR;
  if (length == 0) return false;
  kept.append(bytes, static_cast<size_t>(length));
  if (kept.size() > kProgramOutputKept) kept.erase(0, kept.size() - kProgramOutputKept);
  return true;
}

// Reads what it prints until it has ended; false when `end` came first.
bool WaitForEnd(int pidfd, int output, Clock::time_point end, std::string& kept) {
  int from = output;
  while (true) {
    pollfd waits[2] = {{.fd = pidfd, .events = POLLIN, .revents = 0},
                       {.fd = from, .events = POLLIN, .revents = 0}};
    const int ready = ::poll(waits, 2, MillisecondsUntil(end));
    if (ready < 0 && errno != EINTR) return false;
    if (ready > 0 && waits[1].revents != 0 && !ReadSome(from, kept)) from = -1;
    if (ready > 0 && waits[0].revents != 0) return true;
    if (Clock::now() >= end) return false;
  }
}

std::string LastLine(const std::string& kept) {
  const size_t last = kept.find_last_not_of(" \t\r\n");
  if (last == std::string::npos) return "";
  const size_t before = kept.rfind('\n', last);
  std::string line = kept.substr(before == std::string::npos ? 0 : before + 1);
  line.resize(std::min(line.find_last_not_of(" \t\r\n") + 1, kProgramLineBytesMax));
  for (char& letter : line) {
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') letter = '?';
  }
  return line;
}

}  // namespace

base::Result<ProgramEnd> RunProgram(const Program& program) {
  const auto end = Clock::now() + program.limit;
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return SystemError("cannot make a pipe", errno);
  const Descriptor output(ends[0]);
  Descriptor input(ends[1]);
  (void)::fcntl(output.get(), F_SETFL, O_NONBLOCK);
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(program, input.get()));
  input.Close();
  const Descriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::string kept;
  ProgramEnd result;
  if (pidfd.get() < 0 || !WaitForEnd(pidfd.get(), output.get(), end, kept)) {
    result.timed_out = true;
    ::kill(-pid, SIGKILL);
    pollfd wait = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&wait, 1, MillisecondsUntil(Clock::now() + kKillLimit));
  }
  for (int i = 0; i < kReadsAfterEndMax && ReadSome(output.get(), kept);) ++i;
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) == pid) {
    result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  result.last_line = LastLine(kept);
  return result;
}

}  // namespace understudy::server
