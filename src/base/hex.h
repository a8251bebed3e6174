// SPDX-License-Identifier: Apache-2.0
// Lower-case hexadecimal text of bytes. Threading: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace understudy::base {

std::string HexEncode(std::span<const uint8_t> bytes);

// Fills `out` from exactly 2 * out.size() digits of either case; false if `hex` is anything else.
bool HexDecode(std::string_view hex, std::span<uint8_t> out);

}  // namespace understudy::base
