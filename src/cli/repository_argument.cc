// SPDX-License-Identifier: Apache-2.0
#include "cli/repository_argument.h"

#include <filesystem>

#include "store/location.h"

namespace understudy::cli {

std::string AbsoluteLocation(const std::string& typed) {
  if (typed.empty() || store::IsBucket(typed)) return typed;
  return std::filesystem::absolute(typed).lexically_normal().string();
}

}  // namespace understudy::cli
