// SPDX-License-Identifier: Apache-2.0
// Comparing the XOR of page hashes of a snapshot with a database checksum. Threading: pure.
#pragma once

#include <cstdint>

namespace understudy::backup {

// The lock page is in no LTX file. A database checksum may cover it as the zeros that it is, or not
// cover it at all (log/page_table.h: pages that were never set): both are right.
bool MatchesDatabaseChecksum(uint64_t xor_without_lock_page, uint32_t page_size, uint32_t pages,
                             uint64_t expected);

}  // namespace understudy::backup
