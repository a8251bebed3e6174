// SPDX-License-Identifier: Apache-2.0
// What comes out when pages of a copy are read again and compared with its page table.
// Threading: values and a pure function.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "log/log_end.h"
#include "log/page_table.h"

namespace understudy::log {

struct WrongPage {
  base::PageNo page{};
  uint64_t expected = 0;   // the hash on record
  uint64_t found = 0;      // of what was read; 0 when nothing could be
  std::string unreadable;  // why it could not be read; empty when it could
};

struct PageCheck {
  uint32_t count = 0;  // pages looked at: fewer than asked for, or 0, where the database ends
  uint32_t pages = 0;  // of the whole database
  LogEnd at;           // the position at which this is true
  std::vector<WrongPage> wrong{};
};

// Adds those of the pages `first`.. whose images are not what the table says.
inline void CompareWithTable(const PageTable& table, base::PageNo first, base::ByteView images,
                             size_t page_size, std::vector<WrongPage>& wrong) {
  for (size_t i = 0; (i + 1) * page_size <= images.size(); ++i) {
    const base::PageNo page(first.value + static_cast<uint32_t>(i));
    const uint64_t found = HashPage(page, images.subspan(i * page_size, page_size));
    if (found != table.HashOf(page)) wrong.push_back({page, table.HashOf(page), found, {}});
  }
}

}  // namespace understudy::log
