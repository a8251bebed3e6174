// SPDX-License-Identifier: Apache-2.0
// CHECK: stops the process, in every build, when our own code is wrong.
//
// Never for bytes from disk, network, coordinator or a person: those are returned as kCorruption or
// kInvalidArgument (base/status.h).
// Threading: thread-safe.
#pragma once

namespace understudy::base {
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);
}  // namespace understudy::base

#define CHECK(expression)                                               \
  do {                                                                  \
    if (!(expression)) [[unlikely]] {                                   \
      ::understudy::base::CheckFailed(#expression, __FILE__, __LINE__); \
    }                                                                   \
  } while (false)
