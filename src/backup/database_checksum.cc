// SPDX-License-Identifier: Apache-2.0
#include "backup/database_checksum.h"

#include "backup/ltx_format.h"
#include "log/page_table.h"

namespace understudy::backup {

bool MatchesDatabaseChecksum(uint64_t xor_without_lock_page, uint32_t page_size, uint32_t pages,
                             uint64_t expected) {
  if (xor_without_lock_page == expected) return true;
  const uint32_t lock_page = LockPage(page_size);
  if (pages < lock_page) return false;
  const base::Bytes zeros(page_size);
  return (xor_without_lock_page ^ log::HashPage(base::PageNo(lock_page), zeros)) == expected;
}

}  // namespace understudy::backup
