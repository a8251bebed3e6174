// SPDX-License-Identifier: Apache-2.0
#include "env/boot_id.h"

namespace understudy::env {

namespace {
constexpr size_t kBootIdBytesMax = 64;
}  // namespace

base::Result<std::string> BootId(Env& env) {
  ASSIGN_OR_RETURN(std::string text, ReadHead(env, kBootIdPath, kBootIdBytesMax));
  text.erase(text.find_last_not_of(" \n") + 1);
  if (text.empty()) return base::NotFound(std::string(kBootIdPath) + " is empty");
  return text;
}

}  // namespace understudy::env
