// SPDX-License-Identifier: Apache-2.0
// CheckPlace: whether backups can be kept at a place, found out by doing it: an object is put, read
// back, put again by one who must be refused, and deleted.
//
// Nothing is made that was not there: a directory that is missing (a file system that is not
// mounted) is kNotFound. Threading: thread-compatible. Errors: those of the store, with what was
// tried; kCorruption when something else is read than was put; kInvalidArgument when the place
// holds something that is no repository.
#pragma once

#include <optional>
#include <string>

#include "env/env.h"

namespace understudy::backup {

struct PlaceCheck {
  base::Duration write{};  // of a small object, until it is stored
  base::Duration read{};
  // Of two that put a new object, one is refused: the lock among hosts (store/object_lock.h) holds.
  bool exclusive = false;
  std::optional<env::Space> space = {};
  bool exists = false;  // there is a repository
  uint32_t databases = 0;
};

base::Result<PlaceCheck> CheckPlace(env::Env& env, const std::string& location,
                                    const std::string& who);

}  // namespace understudy::backup
