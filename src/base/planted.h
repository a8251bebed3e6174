// SPDX-License-Identifier: Apache-2.0
// PLANTED("name"): whether the bug of that name is planted in this run. The tests of the tests:
// `make planted` runs each bug in a build of its own and shows what finds it
// (docs/planted-bugs.md).
//
// In every other build it is the constant false: no code, no name and no variable of it is in the
// daemon. A bug is one condition at the place whose omission it is; tools/planted has the list.
// Threading: thread-safe.
#pragma once

#ifdef UNDERSTUDY_PLANTED
#include <cstdlib>
#include <string_view>

namespace understudy::base {
inline bool IsPlanted(std::string_view bug) {
  static const char* const planted = std::getenv("PLANTED_BUG");
  return planted != nullptr && bug == planted;
}
}  // namespace understudy::base
#define PLANTED(bug) ::understudy::base::IsPlanted(bug)
#else
#define PLANTED(bug) false
#endif
