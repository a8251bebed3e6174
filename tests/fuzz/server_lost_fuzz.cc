// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as the manifest of lost log are refused or understood; what is understood
// names plain files only, and comes back as it was.
#include <string>

#include "base/check.h"
#include "server/lost_log.h"

namespace server = understudy::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = server::LostManifestFromJson("input", text);
  if (!manifest.ok()) return 0;
  CHECK(server::IsLostId(manifest->id));
  for (const server::LostFile& file : manifest->files) {
    CHECK(!file.name.empty() && file.name[0] != '.');
    CHECK(file.name.find('/') == std::string::npos);
  }
  const std::string again = server::ToJson(*manifest);
  const auto back = server::LostManifestFromJson("again", again);
  CHECK(back.ok() && server::ToJson(*back) == again);
  return 0;
}
