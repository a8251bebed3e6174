// SPDX-License-Identifier: Apache-2.0
#include "cli/text_width.h"

#include <array>
#include <cstdint>

namespace understudy::cli {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Coarse on purpose: whole blocks, sorted. Right for what people put into names and paths.
constexpr std::array<Range, 8> kZeroWidth = {{{0x0300, 0x036f},
                                              {0x0483, 0x0489},
                                              {0x0591, 0x05bd},
                                              {0x064b, 0x065f},
                                              {0x1ab0, 0x1aff},
                                              {0x200b, 0x200f},
                                              {0x20d0, 0x20ff},
                                              {0xfe00, 0xfe0f}}};
constexpr std::array<Range, 9> kWide = {{{0x1100, 0x115f},
                                         {0x2e80, 0x303e},
                                         {0x3041, 0xa4cf},
                                         {0xac00, 0xd7a3},
                                         {0xf900, 0xfaff},
                                         {0xfe30, 0xfe6f},
                                         {0xff00, 0xff60},
                                         {0x1f300, 0x1faff},
                                         {0x20000, 0x3fffd}}};

template <size_t N>
bool In(const std::array<Range, N>& ranges, uint32_t code) {
  for (const Range& range : ranges) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

constexpr uint32_t kInvalid = 0xffffffff;

// Takes one code point from the front of `text`; kInvalid takes one byte.
uint32_t TakeCodePoint(std::string_view& text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t lead = byte(0);
  const size_t length = lead < 0x80             ? 1
                        : (lead & 0xe0) == 0xc0 ? 2
                        : (lead & 0xf0) == 0xe0 ? 3
                        : (lead & 0xf8) == 0xf0 ? 4
                                                : 0;
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  uint32_t code = length == 1 ? lead : length == 0 ? 0 : lead & (0xffU >> (length + 1));
  bool valid = length != 0 && length <= text.size();
  for (size_t i = 1; valid && i < length; ++i) {
    valid = (byte(i) & 0xc0) == 0x80;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  valid = valid && code >= kSmallest[length] && code <= 0x10ffff && (code & 0xfffff800) != 0xd800;
  text.remove_prefix(valid ? length : 1);
  return valid ? code : kInvalid;
}

bool IsControl(uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

}  // namespace

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const uint32_t code = TakeCodePoint(text);
    if (code == kInvalid || !In(kZeroWidth, code))
      width += code != kInvalid && In(kWide, code) ? 2 : 1;
  }
  return width;
}

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view before = text;
    const uint32_t code = TakeCodePoint(text);
    if (code == kInvalid || IsControl(code)) {
      out += '?';
    } else {
      out += before.substr(0, before.size() - text.size());
    }
  }
  return out;
}

std::string Pad(std::string_view text, size_t width, Align align) {
  const size_t used = DisplayWidth(text);
  const std::string fill(used < width ? width - used : 0, ' ');
  return align == Align::kRight ? fill + std::string(text) : std::string(text) + fill;
}

}  // namespace understudy::cli
