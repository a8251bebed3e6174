// SPDX-License-Identifier: Apache-2.0
#include "backup/crc64.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace understudy::backup {
namespace {

// Reflected: the coefficient of x^63 is bit 0, that of x^0 is bit 63.
constexpr uint64_t kPolynomial = 0xd800000000000000;
constexpr uint64_t kOne = 1ULL << 63;

constexpr uint64_t TimesX(uint64_t a) { return (a >> 1) ^ ((a & 1) != 0 ? kPolynomial : 0); }

// x^n modulo the polynomial.
constexpr uint64_t PowerOfX(int n) {
  uint64_t power = kOne;
  for (int i = 0; i < n; ++i) power = TimesX(power);
  return power;
}

constexpr uint64_t Multiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  for (uint64_t bit = kOne; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = TimesX(b);
  }
  return product;
}

using Tables = std::array<std::array<uint64_t, 256>, 16>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (uint64_t i = 0; i < 256; ++i) {
    uint64_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = TimesX(crc);
    tables[0][i] = crc;
  }
  for (size_t t = 1; t < tables.size(); ++t) {
    for (size_t i = 0; i < 256; ++i) {
      const uint64_t before = tables[t - 1][i];
      tables[t][i] = tables[0][before & 0xff] ^ (before >> 8);
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

uint64_t EightByTable(uint64_t word, size_t highest) {
  uint64_t sum = 0;
  for (size_t byte = 0; byte < 8; ++byte) {
    sum ^= kTables[highest - byte][(word >> (8 * byte)) & 0xff];
  }
  return sum;
}

// `state` is the CRC register: the sum without the final inversion.
uint64_t StateByTable(uint64_t state, base::ByteView bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 16; at += 16, left -= 16) {
    state = EightByTable(base::LoadLe<uint64_t>(at) ^ state, 15) ^
            EightByTable(base::LoadLe<uint64_t>(at + 8), 7);
  }
  for (; left > 0; ++at, --left) state = kTables[0][(state ^ *at) & 0xff] ^ (state >> 8);
  return state;
}

#if defined(__x86_64__)
// A carry-less product of two reflected 64-bit values comes out one bit short, hence the - 1.
constexpr uint64_t FoldLow(int bits) { return PowerOfX(bits + 64 - 1); }
constexpr uint64_t FoldHigh(int bits) { return PowerOfX(bits - 1); }

// Moves a 128-bit lane `by` bits forward (keys: FoldLow in the low half, FoldHigh in the high one).
__attribute__((target("pclmul,sse4.1"))) inline __m128i Fold(__m128i lane, __m128i keys) {
  return _mm_xor_si128(_mm_clmulepi64_si128(lane, keys, 0x00),
                       _mm_clmulepi64_si128(lane, keys, 0x11));
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i Load(const uint8_t* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

__attribute__((target("pclmul,sse4.1"))) uint64_t StateByPclmul(uint64_t state,
                                                                base::ByteView bytes) {
  constexpr size_t kStride = 128;  // eight lanes, so that their latencies overlap
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  if (left < kStride) return StateByTable(state, bytes);

  const __m128i by_stride =
      _mm_set_epi64x(static_cast<int64_t>(FoldHigh(1024)), static_cast<int64_t>(FoldLow(1024)));
  const __m128i by_lane =
      _mm_set_epi64x(static_cast<int64_t>(FoldHigh(128)), static_cast<int64_t>(FoldLow(128)));
  __m128i lanes[8];
  for (int i = 0; i < 8; ++i) lanes[i] = Load(at + 16 * i);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_set_epi64x(0, static_cast<int64_t>(state)));
  for (at += kStride, left -= kStride; left >= kStride; at += kStride, left -= kStride) {
    for (int i = 0; i < 8; ++i) {
      lanes[i] = _mm_xor_si128(Fold(lanes[i], by_stride), Load(at + 16 * i));
    }
  }
  __m128i sum = lanes[0];
  for (int i = 1; i < 8; ++i) sum = _mm_xor_si128(Fold(sum, by_lane), lanes[i]);
  for (; left >= 16; at += 16, left -= 16) sum = _mm_xor_si128(Fold(sum, by_lane), Load(at));

  uint8_t last[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(last), sum);
  return StateByTable(StateByTable(0, last), {at, left});
}
#endif

}  // namespace

uint64_t ExtendCrc64ByTable(uint64_t crc, base::ByteView bytes) {
  return ~StateByTable(~crc, bytes);
}

uint64_t ExtendCrc64(uint64_t crc, base::ByteView bytes) {
#if defined(__x86_64__)
  static const bool has_pclmul =
      __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.1") != 0;
  if (has_pclmul) return ~StateByPclmul(~crc, bytes);
#endif
  return ExtendCrc64ByTable(crc, bytes);
}

uint64_t Crc64(base::ByteView bytes) { return ExtendCrc64(0, bytes); }

uint64_t CombineCrc64(uint64_t crc_a, uint64_t crc_b, uint64_t length_b) {
  // crc_a times x^(8 * length_b), by squaring.
  uint64_t power = PowerOfX(8);
  uint64_t shifted = crc_a;
  for (uint64_t length = length_b; length != 0; length >>= 1) {
    if ((length & 1) != 0) shifted = Multiply(power, shifted);
    power = Multiply(power, power);
  }
  return shifted ^ crc_b;
}

}  // namespace understudy::backup
