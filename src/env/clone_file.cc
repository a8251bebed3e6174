// SPDX-License-Identifier: Apache-2.0
#include "env/clone_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

namespace understudy::env {
namespace {

// What the child says of where it failed: its exit code is the errno, below 128 the cloning's own.
constexpr int kNotMade = 128;

// Between fork and _exit: only what may be called there with other threads about.
[[noreturn]] void CloneAndExit(const char* from, const char* to) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  const int source = ::open(from, O_RDONLY | O_CLOEXEC);
  if (source < 0) ::_exit(kNotMade | (errno & 127));
  const int clone = ::open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (clone < 0) ::_exit(kNotMade | (errno & 127));
  if (::ioctl(clone, FICLONE, source) == 0) ::_exit(0);
  ::_exit(errno & 127);
}

base::Status FromError(const std::string& from, const std::string& to, int error) {
  const std::string what = fmt::format("clone {} as {}: {}", from, to, std::strerror(error));
  switch (error) {
    case EXDEV: return base::InvalidArgument(what + " (they are on two file systems)");
    case EOPNOTSUPP:
    case ENOTTY:
    case EINVAL: return base::InvalidArgument(what + " (this file system has no reflinks)");
    case EEXIST: return base::AlreadyExists(what);
    case ENOENT: return base::NotFound(what);
    case ENOSPC:
    case EDQUOT: return base::NoSpace(what);
    default: return base::IoError(what);
  }
}

// Waits for the child, for `limit` at most; then it is killed.
bool EndsInTime(pid_t child, base::Duration limit) {
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  if (process < 0) return true;  // it is waited for without a limit
  pollfd end{.fd = process, .events = POLLIN, .revents = 0};
  const auto until = std::chrono::steady_clock::now() + limit;
  int ready = 0;
  do {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    ready = ::poll(&end, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
  } while (ready < 0 && errno == EINTR);
  ::close(process);
  if (ready > 0) return true;
  ::kill(child, SIGKILL);  // our own child keeps its id until it is waited for
  return false;
}

}  // namespace

base::Status CloneFile(const std::string& from, const std::string& to) {
  const pid_t child = ::fork();
  if (child < 0) return base::IoError(fmt::format("clone {}: {}", from, std::strerror(errno)));
  if (child == 0) CloneAndExit(from.c_str(), to.c_str());
  const bool in_time = EndsInTime(child, kCloneLimit);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  if (code >= kNotMade) return FromError(from, to, code & 127);
  if (code != 0 || !in_time) ::unlink(to.c_str());  // nobody else has seen it
  if (!in_time) {
    return base::TimedOut(fmt::format("clone {} as {}: it took more than {} s", from, to,
                                      kCloneLimit / std::chrono::seconds(1)));
  }
  if (code != 0) return FromError(from, to, code);
  ::unlink(to.c_str());
  return base::IoError(fmt::format("clone {} as {}: the child that did it was killed", from, to));
}

}  // namespace understudy::env
