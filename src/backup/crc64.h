// SPDX-License-Identifier: Apache-2.0
// CRC-64/GO-ISO (reflected 0xD800000000000000, init and xorout all ones), the checksum of LTX
// files: check("123456789") = 0xb90956c775a41001. By carry-less multiplication where the processor
// has it, else sixteen bytes at a time by tables. Threading: pure functions.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace understudy::backup {

uint64_t Crc64(base::ByteView bytes);

// The CRC of a ‖ b, given crc = Crc64(a). Crc64 of nothing is 0.
uint64_t ExtendCrc64(uint64_t crc, base::ByteView bytes);

// The CRC of a ‖ b, given the CRCs of both and the length of b: lets parts be summed in parallel.
uint64_t CombineCrc64(uint64_t crc_a, uint64_t crc_b, uint64_t length_b);

// The portable way, for processors without carry-less multiplication and for comparing.
uint64_t ExtendCrc64ByTable(uint64_t crc, base::ByteView bytes);

}  // namespace understudy::backup
