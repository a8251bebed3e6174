// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any text under a key of the coordinator is refused or understood; what is understood
// comes back as it was when written again.
#include <string>

#include "base/check.h"
#include "cluster/records.h"

namespace {

using namespace understudy::cluster;  // LINT-ALLOW(using-namespace): a program of one file

template <typename Parse>
void RoundTrip(Parse parse, const std::string& text) {
  const auto record = parse("key", text);
  if (!record.ok()) return;
  const std::string written = ToJson(*record);
  const auto again = parse("key", written);
  CHECK(again.ok() && ToJson(*again) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  RoundTrip(ServerFromJson, text);
  RoundTrip(DatabaseFromJson, text);
  RoundTrip(CopyStatusFromJson, text);
  RoundTrip(EventFromJson, text);
  return 0;
}
