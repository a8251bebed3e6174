// SPDX-License-Identifier: Apache-2.0
// CloneFile: a new file that shares the blocks of another one (Linux's FICLONE), as XFS and btrfs
// can: it takes milliseconds and no space until one of the two is written.
//
// The source may be a live SQLite database. This process opens neither file (env.h, invariant 4): a
// child does, which holds nothing else and ends at once. The clone is of one moment: no write to
// the source is half in it. Threading: thread-safe. Errors: kInvalidArgument: the file system
// cannot do it, or the two are not on the same one; kAlreadyExists; kTimedOut; kIoError, kNoSpace.
#pragma once

#include <string>

#include "base/status.h"
#include "base/time.h"

namespace understudy::env {

// A file in a million pieces takes seconds.
inline constexpr base::Duration kCloneLimit = std::chrono::seconds(60);

// On a failure there is no file `to` that was not there before.
base::Status CloneFile(const std::string& from, const std::string& to);

}  // namespace understudy::env
