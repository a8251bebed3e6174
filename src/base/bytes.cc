// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include <bit>

namespace understudy::base {

static_assert(std::endian::native == std::endian::little,
              "formats are coded for little-endian machines");

void AppendVarint(Bytes& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<uint8_t>(value));
}

ByteView ByteReader::Take(size_t count) {
  if (!ok_ || count > rest_.size()) {
    ok_ = false;
    return {};
  }
  const ByteView taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

uint64_t ByteReader::Varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const ByteView byte = Take(1);
    if (byte.empty()) return 0;
    const uint64_t group = byte[0] & 0x7f;
    if (shift == 63 && group > 1) break;  // would not fit into 64 bits
    value |= group << shift;
    if ((byte[0] & 0x80) == 0) return value;
  }
  ok_ = false;
  return 0;
}

}  // namespace understudy::base
