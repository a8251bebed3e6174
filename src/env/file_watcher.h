// SPDX-License-Identifier: Apache-2.0
// FileWatcher: waits until a file is written, somebody calls Wake, or a limit passes.
//
// Arm watches for one write only (inotify's one-shot mode): while its owner is busy nobody is
// slowed down by notifications, and each writer pays for one at most. Arm first, look at the file
// then, and Wait if there was nothing new: so no write is missed. Writes through mmap are not
// noticed. Two descriptors each.
// Threading: Wake is thread-safe; the rest is confined to one thread.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"

namespace understudy::env {

class FileWatcher {
 public:
  static base::Result<std::unique_ptr<FileWatcher>> Create();
  ~FileWatcher();
  FileWatcher(const FileWatcher&) = delete;
  FileWatcher& operator=(const FileWatcher&) = delete;

  // The next write to `path` ends a Wait, also one that begins later. Armed already: nothing to do.
  base::Status Arm(const std::string& path);

  enum class Event { kWritten, kWoken, kLimit };
  // Returns at once when something is pending. Limits are kept to about 0.1 ms.
  Event Wait(base::Duration limit);
  // Ends the current Wait, or the next one.
  void Wake();

 private:
  FileWatcher(int inotify, int wake) : inotify_(inotify), wake_(wake) {}
  bool DrainInotify();

  const int inotify_;
  const int wake_;
  bool armed_ = false;
};

}  // namespace understudy::env
