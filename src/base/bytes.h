// SPDX-License-Identifier: Apache-2.0
// Byte coding: little- and big-endian numbers, LEB128 varints, and ByteReader for bytes that nobody
// vouches for.
//
// Threading: pure functions; ByteReader is a value over borrowed bytes, which must outlive it.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace understudy::base {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;

// All machines this builds for are little-endian (checked in bytes.cc); big-endian is swapped by
// hand.
template <typename Number>
Number LoadLe(const uint8_t* from) {
  Number value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename Number>
void StoreLe(uint8_t* to, Number value) {
  std::memcpy(to, &value, sizeof value);
}
inline uint16_t LoadBe16(const uint8_t* p) { return __builtin_bswap16(LoadLe<uint16_t>(p)); }
inline uint32_t LoadBe32(const uint8_t* p) { return __builtin_bswap32(LoadLe<uint32_t>(p)); }
inline uint64_t LoadBe64(const uint8_t* p) { return __builtin_bswap64(LoadLe<uint64_t>(p)); }
inline void StoreBe16(uint8_t* p, uint16_t v) { StoreLe(p, __builtin_bswap16(v)); }
inline void StoreBe32(uint8_t* p, uint32_t v) { StoreLe(p, __builtin_bswap32(v)); }
inline void StoreBe64(uint8_t* p, uint64_t v) { StoreLe(p, __builtin_bswap64(v)); }

template <typename Number>
void AppendLe(Bytes& out, Number value) {
  const size_t at = out.size();
  out.resize(at + sizeof value);
  StoreLe(out.data() + at, value);
}
inline void AppendBytes(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// LEB128, low group first; at most 10 bytes.
inline constexpr size_t kVarintBytesMax = 10;
void AppendVarint(Bytes& out, uint64_t value);

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Reads forward through untrusted bytes. Past the end, or at a malformed varint, it fails and stays
// failed; what it returns after that is zero or empty, so a parser may read a whole struct and ask
// once.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return rest_.size(); }
  ByteView rest() const { return rest_; }

  template <typename Number>
  Number Le() {
    const ByteView bytes = Take(sizeof(Number));
    return bytes.empty() ? Number{} : LoadLe<Number>(bytes.data());
  }
  uint64_t Varint();
  ByteView Take(size_t count);  // empty when fewer bytes remain

 private:
  ByteView rest_;
  bool ok_ = true;
};

}  // namespace understudy::base
