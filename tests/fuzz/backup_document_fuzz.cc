// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a backup document of any bytes is refused, or means the same after a round trip.
#include "backup/backup_document.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace backup = understudy::backup;
  const auto document = backup::DocumentFromJson({reinterpret_cast<const char*>(data), size});
  if (!document.ok()) return 0;
  const std::string text = backup::ToJson(document.value());
  const auto again = backup::DocumentFromJson(text);
  CHECK(again.ok() && backup::ToJson(again.value()) == text);
  return 0;
}
