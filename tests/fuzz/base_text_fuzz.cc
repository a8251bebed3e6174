// SPDX-License-Identifier: Apache-2.0
// The small parsers of base/: whatever is accepted must come back as it was when printed again.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/ids.h"
#include "base/time.h"

namespace {

using understudy::base::ByteReader;
using understudy::base::Bytes;
using understudy::base::ByteView;

void CheckTime(std::string_view text) {
  const auto time = understudy::base::FromRfc3339(text);
  if (!time.ok()) return;
  const auto again = understudy::base::FromRfc3339(understudy::base::ToRfc3339(*time));
  CHECK(again.ok() && *again == *time);
}

void CheckId(std::string_view text) {
  const auto id = understudy::base::DatabaseId::FromHex(text);
  if (id.ok()) CHECK(id->ToHex().size() == text.size());
}

void CheckVarints(ByteView bytes) {
  ByteReader reader(bytes);
  for (size_t before = reader.remaining(); before > 0; before = reader.remaining()) {
    const uint64_t value = reader.Varint();
    if (!reader.ok()) break;
    Bytes encoded;
    understudy::base::AppendVarint(encoded, value);
    CHECK(encoded.size() <= before - reader.remaining());  // ours is the shortest
  }
}

void CheckDiag(std::string_view text) {
  const std::string line = understudy::base::FormatDiag("m", {{"k", text}});
  for (const char c : line) CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckTime(text);
  CheckId(text);
  understudy::base::CheckName("name", text).IgnoreError();  // only that it returns
  CheckVarints({data, size});
  CheckDiag(text);
  return 0;
}
