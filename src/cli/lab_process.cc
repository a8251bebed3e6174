// SPDX-License-Identifier: Apache-2.0
#include "cli/lab_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <sstream>

#include "env/env.h"

extern char** environ;

namespace understudy::cli {
namespace {

struct ProcStat {
  char state = '?';
  int parent = 0;
  uint64_t start_time = 0;
};

constexpr size_t kProcStatBytesMax = 4096;

std::span<uint8_t> Writable(std::string& text) {
  return {reinterpret_cast<uint8_t*>(text.data()), text.size()};
}

// /proc/PID/stat: "pid (name) state …"; the name may hold spaces and parentheses, so the fields are
// counted from the last ')'. The start time is field 22, the state field 3, the parent
// field 4.
std::optional<ProcStat> ReadProcStat(int pid) {
  auto file = env::PosixEnv().Open(fmt::format("/proc/{}/stat", pid), env::OpenMode::kRead);
  if (!file.ok()) return std::nullopt;
  std::string text(kProcStatBytesMax, '\0');
  const auto length = (*file)->ReadAt(0, Writable(text));  // files of /proc have no size to ask for
  if (!length.ok()) return std::nullopt;
  text.resize(*length);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  ProcStat stat;
  fields >> stat.state >> stat.parent;
  std::string skipped;
  for (int field = 5; field < 22; ++field) fields >> skipped;
  fields >> stat.start_time;
  if (!fields) return std::nullopt;
  return stat;
}

// glibc 2.36 declares these without C linkage, so the calls are spelled out.
Descriptor OpenPidfd(int pid) {
  return Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

base::Status SystemError(const std::string& what, int error) {
  return base::IoError(fmt::format("{}: {}", what, std::strerror(error)));
}

// Opened, then checked: from here on the descriptor means exactly `process`.
base::Result<Descriptor> OpenProcess(const ProcessId& process) {
  const base::Status gone =
      base::NotFound(fmt::format("the process {} of the lab has ended", process.pid));
  if (process.pid <= 0) return gone;
  Descriptor pidfd = OpenPidfd(process.pid);
  if (!pidfd.valid() || StateOf(process) == ProcessState::kGone) return gone;
  return pidfd;
}

int MillisecondsUntil(std::chrono::steady_clock::time_point deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
}

}  // namespace

void Descriptor::Reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

ProcessState StateOf(const ProcessId& process) {
  if (process.pid <= 0) return ProcessState::kGone;
  const auto stat = ReadProcStat(process.pid);
  if (!stat || stat->start_time != process.start_time || stat->state == 'Z' || stat->state == 'X') {
    return ProcessState::kGone;
  }
  return stat->state == 'T' || stat->state == 't' ? ProcessState::kPaused : ProcessState::kRunning;
}

std::string_view Name(ProcessState state) {
  switch (state) {
    case ProcessState::kRunning: return "running";
    case ProcessState::kPaused: return "paused";
    case ProcessState::kGone: return "dead";
  }
  return "dead";
}

base::Result<ReadySocket> ReadySocket::Create() {
  Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  socklen_t length = sizeof(name);
  // Bound to an address of no length, the kernel chooses an abstract one: no file to remove.
  if (!socket.valid() ||
      ::bind(socket.get(), reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) {
    return SystemError("cannot make a socket for readiness", errno);
  }
  const size_t name_length = length - offsetof(sockaddr_un, sun_path);
  return ReadySocket(std::move(socket), "@" + std::string(name.sun_path + 1, name_length - 1));
}

base::Status ReadySocket::Wait(const ProcessId& process, base::Duration limit) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::milliseconds>(limit);
  const Descriptor pidfd = OpenPidfd(process.pid);
  while (true) {
    pollfd waits[2] = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                       {.fd = pidfd.get(), .events = POLLIN, .revents = 0}};
    const int ready = ::poll(waits, 2, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return SystemError("poll", errno);
    if ((waits[0].revents & POLLIN) != 0) {
      char text[4096];
      const ssize_t length = ::recv(socket_.get(), text, sizeof(text), MSG_DONTWAIT);
      const std::string_view message(text, length > 0 ? static_cast<size_t>(length) : 0);
      if (message.find("READY=1") != std::string_view::npos) return {};
      continue;
    }
    if (waits[1].revents != 0 || !pidfd.valid()) {
      return base::Unavailable("it ended before it was ready");
    }
    if (ready == 0) {
      return base::TimedOut(
          fmt::format("it was not ready after {} s",
                      std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
    }
  }
}

void SayReady() {
  const char* address = std::getenv("NOTIFY_SOCKET");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const size_t length = address == nullptr ? 0 : std::strlen(address);
  if (length < 2 || length > sizeof(name.sun_path) || address[0] != '@') return;
  std::memcpy(name.sun_path, address, length);
  name.sun_path[0] = '\0';
  const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  constexpr std::string_view kReady = "READY=1";
  // Nobody listens any more: then nobody needs to know.
  (void)::sendto(socket.get(), kReady.data(), kReady.size(), MSG_NOSIGNAL,
                 reinterpret_cast<sockaddr*>(&name),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

base::Result<ProcessId> Spawn(const SpawnOptions& options) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool replaced = false;
    for (const auto& [name, value] : options.environment) {
      replaced = replaced || text.starts_with(name + "=");
    }
    if (!replaced) variables.emplace_back(text);
  }
  for (const auto& [name, value] : options.environment) variables.push_back(name + "=" + value);
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  std::vector<std::string> words = options.command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, options.output_path.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);  // we ignore it; that must not be inherited
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, words[0].c_str(), &files, &attributes, arguments.data(),
                                  environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) return SystemError(fmt::format("cannot start {}", words[0]), error);
  const auto stat = ReadProcStat(pid);
  return ProcessId{.pid = pid, .start_time = stat ? stat->start_time : 0};
}

std::vector<ProcessId> ChildrenOf(const ProcessId& process) {
  std::vector<ProcessId> children;
  if (StateOf(process) == ProcessState::kGone) return children;
  const auto names = env::PosixEnv().List("/proc");
  if (!names.ok()) return children;
  for (const std::string& name : *names) {
    int pid = 0;
    const char* const end = name.data() + name.size();
    if (std::from_chars(name.data(), end, pid).ptr != end) continue;
    const auto stat = ReadProcStat(pid);
    if (!stat || stat->parent != process.pid || stat->state == 'Z') continue;
    children.push_back({.pid = pid, .start_time = stat->start_time});
  }
  return children;
}

base::Status Signal(const ProcessId& process, int signal) {
  ASSIGN_OR_RETURN(const Descriptor pidfd, OpenProcess(process));
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0) {
    return SystemError(fmt::format("cannot signal process {}", process.pid), errno);
  }
  return {};
}

base::Status WaitGone(const ProcessId& process, base::Duration limit) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::milliseconds>(limit);
  const auto pidfd = OpenProcess(process);
  if (!pidfd.ok()) return {};
  while (true) {
    pollfd wait = {.fd = pidfd->get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0) {
      ::waitpid(process.pid, nullptr, WNOHANG);  // only does something if it is our own child
      return {};
    }
    return base::TimedOut(
        fmt::format("process {} is still running after {} s", process.pid,
                    std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
  }
}

base::Result<std::vector<uint16_t>> FreePorts(size_t count) {
  // All are held until the last is known, so that no port comes twice.
  std::vector<Descriptor> sockets;
  std::vector<uint16_t> ports;
  for (size_t i = 0; i < count; ++i) {
    sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(name);
    if (::bind(sockets.back().get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0 ||
        ::getsockname(sockets.back().get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) {
      return SystemError("cannot find a free port on 127.0.0.1", errno);
    }
    ports.push_back(ntohs(name.sin_port));
  }
  return ports;
}

std::string TailOf(const std::string& path, size_t bytes_max) {
  auto file = env::PosixEnv().Open(path, env::OpenMode::kRead);
  if (!file.ok()) return "";
  const auto size = (*file)->Size();
  if (!size.ok()) return "";
  std::string text(std::min<uint64_t>(*size, bytes_max), '\0');
  const auto length = (*file)->ReadAt(*size - text.size(), Writable(text));
  text.resize(length.ok() ? *length : 0);
  return text;
}

}  // namespace understudy::cli
