// SPDX-License-Identifier: Apache-2.0
// BasePages: the pages that a copy has before a resync; implemented in server/ over its database.
//
// They need not be one consistent state, or right: a page counts only if the source has the very
// same one. But they must not change while the object lives. Page 1 may have the read-only mark.
// Threading: used by one thread at a time.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.h"
#include "base/status.h"

namespace understudy::ship {

class BasePages {
 public:
  virtual ~BasePages() = default;

  virtual uint32_t page_size() const = 0;
  virtual uint32_t pages() const = 0;
  // Fills `out` (count * page_size() bytes) with the pages first .. first + count - 1.
  // REQUIRES: 1 <= first and first + count - 1 <= pages().
  virtual base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) = 0;
};

}  // namespace understudy::ship
