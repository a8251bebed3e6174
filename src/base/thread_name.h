// SPDX-License-Identifier: Apache-2.0
// Names the calling thread for ps, top and gdb (Linux keeps 15 characters). Threading: thread-safe.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace understudy::base {

inline constexpr size_t kThreadNameBytesMax = 15;

inline void NameThisThread(std::string name) {
  name.resize(std::min(name.size(), kThreadNameBytesMax));
  pthread_setname_np(pthread_self(), name.c_str());
}

}  // namespace understudy::base
