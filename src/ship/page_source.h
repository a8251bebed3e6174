// SPDX-License-Identifier: Apache-2.0
// PageSource: where a seed gets page images at an exact position; implemented in server/ over
// capture.
// Threading: used from the thread of the SeedSource only; an implementation may pass the request to
// another thread.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "log/log_store.h"

namespace understudy::ship {

struct SeedPages {
  base::PageNo first_page;
  uint32_t page_count = 0;  // fewer than asked for (or 0) where the database ends earlier
  base::Bytes images;       // page_count * at.page_size
  // The images are exactly the pages at this position, never before what the log's durable() was at
  // the time of the Request; at.pages is the database's size then. It need not be durable yet: the
  // SeedSource waits for that before it sends.
  log::LogEnd at;
};

class PageSource {
 public:
  virtual ~PageSource() = default;

  // Asks for pages [first, first + count). One request at a time. kBusy and kUnavailable mean "try
  // again soon"; another error ends the seed.
  virtual base::Status Request(base::PageNo first, uint32_t count) = 0;
  // The answer to the last Request; nothing when it is not there yet. kBusy and kUnavailable: the
  // request is gone, make it again soon.
  virtual base::Result<std::optional<SeedPages>> TryTake() = 0;
};

}  // namespace understudy::ship
