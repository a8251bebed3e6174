// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any text as a configuration is refused with one sentence that names the file, or
// read.
#include <string>

#include "base/check.h"
#include "server/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = understudy::server::ParseConfig(text, "s1.toml");
  if (!config.ok()) CHECK(config.status().message().find("s1.toml") != std::string::npos);
  if (config.ok()) CHECK(!config->server.name.empty() && !config->server.data_dir.empty());
  return 0;
}
