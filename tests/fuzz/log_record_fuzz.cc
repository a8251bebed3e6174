// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as a record part are refused or parsed, also when their length and CRC are
// made right, so that the checks behind those are reached; a page that decodes has the hash that
// its entry says.
#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/record.h"

namespace {

using understudy::base::Bytes;
using understudy::base::ByteView;
namespace base = understudy::base;
namespace log = understudy::log;

void Use(ByteView bytes) {
  const auto part = log::ParsePart(bytes);
  if (!part.ok()) return;
  CHECK(part->entries.size() == part->header.entry_count);
  log::EntryDecoder decoder;
  const Bytes before(part->header.page_size, 'x');
  Bytes out(part->header.page_size);
  for (const log::Entry& entry : part->entries) {
    if (decoder.Decode(entry, before, out).ok()) {
      CHECK(log::HashPage(entry.page, out) == entry.hash);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Use({data, size});
  constexpr size_t kCrcBytes = 4;
  if (size < log::kPartLengthPrefix + kCrcBytes || size > log::kPartBytesMax) return 0;
  Bytes sealed(data, data + size);
  base::StoreLe(sealed.data() + 8, static_cast<uint32_t>(size));
  base::StoreLe(sealed.data() + size - kCrcBytes,
                base::Crc32c(ByteView(sealed).first(size - kCrcBytes)));
  Use(sealed);
  return 0;
}
