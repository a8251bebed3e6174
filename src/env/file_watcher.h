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
  // On inotify. (Env::NewWatcher gives the one that fits the Env.)
  static base::Result<std::unique_ptr<FileWatcher>> Create();
  virtual ~FileWatcher() = default;

  // The next write to `path` ends a Wait, also one that begins later. Armed already: nothing to do.
  virtual base::Status Arm(const std::string& path) = 0;

  enum class Event { kWritten, kWoken, kLimit };
  // Returns at once when something is pending. Limits are kept to about 0.1 ms.
  virtual Event Wait(base::Duration limit) = 0;
  // Ends the current Wait, or the next one.
  virtual void Wake() = 0;
};

}  // namespace understudy::env
