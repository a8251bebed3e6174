// SPDX-License-Identifier: Apache-2.0
#include "log/page_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>

#include "base/check.h"

namespace understudy::log {

bool IsPageSize(uint32_t bytes) {
  return bytes >= kPageSizeMin && bytes <= kPageSizeMax && std::has_single_bit(bytes);
}

uint64_t HashPage(base::PageNo page, base::ByteView image) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  uint8_t number[sizeof page.value];
  base::StoreLe(number, page.value);
  XXH3_64bits_update(&state, number, sizeof number);
  if (page.value == 1 && image.size() > kWriteVersionOffset &&
      image[kWriteVersionOffset] == kWriteVersionReadOnly) {
    XXH3_64bits_update(&state, image.data(), kWriteVersionOffset);
    XXH3_64bits_update(&state, &kWriteVersionWal, 1);
    image = image.subspan(kWriteVersionOffset + 1);
  }
  XXH3_64bits_update(&state, image.data(), image.size());
  return XXH3_64bits_digest(&state);
}

uint64_t PageTable::HashOf(base::PageNo page) const {
  return page.value >= 1 && page.value <= hashes_.size() ? hashes_[page.value - 1] : 0;
}

void PageTable::Set(base::PageNo page, uint64_t hash) {
  CHECK(page.value >= 1);
  if (page.value > hashes_.size()) hashes_.resize(page.value);
  uint64_t& slot = hashes_[page.value - 1];
  checksum_ ^= slot ^ hash;
  slot = hash;
}

void PageTable::Resize(uint32_t pages) {
  for (size_t i = pages; i < hashes_.size(); ++i) checksum_ ^= hashes_[i];
  hashes_.resize(pages);
}

}  // namespace understudy::log
