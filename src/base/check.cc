// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace understudy::base {

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s (this is a bug in understudy, please report it)\n",
               file, line, expression);
  std::fflush(stderr);
  std::abort();
}

}  // namespace understudy::base
