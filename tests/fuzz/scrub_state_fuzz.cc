// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as where a scrub has come to are understood as something, within limits,
// and what is understood comes back as it was.
#include <string>

#include "base/check.h"
#include "scrub/finding.h"

namespace scrub = understudy::scrub;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const scrub::ScrubState state =
      scrub::ScrubStateFromJson(std::string(reinterpret_cast<const char*>(data), size));
  CHECK(state.next_page >= 1);
  CHECK(state.findings.size() <= scrub::kFindingsMax);
  const std::string text = scrub::ToJson(state);
  CHECK(scrub::ToJson(scrub::ScrubStateFromJson(text)) == text);
  return 0;
}
