// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, reflected 0x82F63B78, init and xorout all ones; RFC 3720):
// check("123456789") = 0xe3069283. Uses SSE 4.2 where the processor has it. Threading: pure
// functions.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace understudy::base {

uint32_t Crc32c(ByteView bytes);

// The CRC of a ‖ b, given crc = Crc32c(a).
uint32_t ExtendCrc32c(uint32_t crc, ByteView bytes);

}  // namespace understudy::base
