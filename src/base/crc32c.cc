// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace understudy::base {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

uint32_t ExtendByTable(uint32_t state, ByteView bytes) {
  for (const uint8_t byte : bytes) state = kTable[(state ^ byte) & 0xff] ^ (state >> 8);
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ExtendBySse42(uint32_t state, ByteView bytes) {
  uint64_t wide = state;
  while (bytes.size() >= 8) {
    wide = _mm_crc32_u64(wide, LoadLe<uint64_t>(bytes.data()));
    bytes = bytes.subspan(8);
  }
  state = static_cast<uint32_t>(wide);
  for (const uint8_t byte : bytes) state = _mm_crc32_u8(state, byte);
  return state;
}
#endif

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, ByteView bytes) {
  const uint32_t state = ~crc;
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
  if (has_sse42) return ~ExtendBySse42(state, bytes);
#endif
  return ~ExtendByTable(state, bytes);
}

uint32_t Crc32c(ByteView bytes) { return ExtendCrc32c(0, bytes); }

}  // namespace understudy::base
