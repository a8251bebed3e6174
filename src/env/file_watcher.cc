// SPDX-License-Identifier: Apache-2.0
#include "env/file_watcher.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace understudy::env {

using base::Result;
using base::Status;

namespace {

class InotifyWatcher final : public FileWatcher {
 public:
  InotifyWatcher(int inotify, int wake) : inotify_(inotify), wake_(wake) {}
  ~InotifyWatcher() override {
    ::close(inotify_);
    ::close(wake_);
  }
  InotifyWatcher(const InotifyWatcher&) = delete;
  InotifyWatcher& operator=(const InotifyWatcher&) = delete;

  Status Arm(const std::string& path) override;
  Event Wait(base::Duration limit) override;
  void Wake() override;

 private:
  bool DrainInotify();

  const int inotify_;
  const int wake_;
  bool armed_ = false;
};

Status InotifyWatcher::Arm(const std::string& path) {
  if (armed_) return Status();
  if (::inotify_add_watch(inotify_, path.c_str(), IN_MODIFY | IN_ONESHOT) < 0) {
    std::string message = fmt::format("cannot watch {}: {}", path, std::strerror(errno));
    return errno == ENOENT ? base::NotFound(std::move(message)) : base::IoError(std::move(message));
  }
  armed_ = true;
  return Status();
}

bool InotifyWatcher::DrainInotify() {
  alignas(inotify_event) char events[4096];
  bool written = false;
  for (;;) {  // bounded: a one-shot watch queues two events
    const ssize_t got = ::read(inotify_, events, sizeof events);
    if (got <= 0) return written;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, events + at, sizeof event);
      written = written || (event.mask & IN_MODIFY) != 0;
      // The watch is gone: it fired, or its file was removed.
      if ((event.mask & IN_IGNORED) != 0) armed_ = false;
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
}

FileWatcher::Event InotifyWatcher::Wait(base::Duration limit) {
  pollfd descriptors[2] = {{inotify_, POLLIN, 0}, {wake_, POLLIN, 0}};
  const int64_t nanoseconds = std::max<int64_t>(limit.count(), 0);
  const timespec how_long{static_cast<time_t>(nanoseconds / 1'000'000'000),
                          static_cast<long>(nanoseconds % 1'000'000'000)};
  if (::ppoll(descriptors, 2, &how_long, nullptr) <= 0) return Event::kLimit;
  if ((descriptors[1].revents & POLLIN) != 0) {
    uint64_t count = 0;
    if (::read(wake_, &count, sizeof count) > 0) return Event::kWoken;
  }
  return DrainInotify() ? Event::kWritten : Event::kLimit;
}

void InotifyWatcher::Wake() {
  const uint64_t one = 1;
  // Can fail only when a wake is pending already.
  [[maybe_unused]] const ssize_t put = ::write(wake_, &one, sizeof one);
}

}  // namespace

Result<std::unique_ptr<FileWatcher>> FileWatcher::Create() {
  const int inotify = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (inotify < 0)
    return base::IoError(
        fmt::format("cannot create an inotify instance: {} (limit: sysctl "
                    "fs.inotify.max_user_instances)",
                    std::strerror(errno)));
  const int wake = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake < 0) {
    const int error = errno;
    ::close(inotify);
    return base::IoError(fmt::format("cannot create an eventfd: {}", std::strerror(error)));
  }
  return std::unique_ptr<FileWatcher>(std::make_unique<InotifyWatcher>(inotify, wake));
}

}  // namespace understudy::env
