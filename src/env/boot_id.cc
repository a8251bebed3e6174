// SPDX-License-Identifier: Apache-2.0
#include "env/boot_id.h"

namespace understudy::env {

namespace {
constexpr size_t kBootIdBytesMax = 64;
}  // namespace

// Not ReadFile: a file of /proc has size 0.
base::Result<std::string> BootId(Env& env) {
  ASSIGN_OR_RETURN(auto file, env.Open(kBootIdPath, OpenMode::kRead));
  uint8_t bytes[kBootIdBytesMax];
  ASSIGN_OR_RETURN(const size_t got, file->ReadAt(0, bytes));
  std::string text(reinterpret_cast<const char*>(bytes), got);
  text.erase(text.find_last_not_of(" \n") + 1);
  if (text.empty()) return base::NotFound(std::string(kBootIdPath) + " is empty");
  return text;
}

}  // namespace understudy::env
