// SPDX-License-Identifier: Apache-2.0
#include "backup/snapshot_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "backup/database_checksum.h"
#include "backup/ltx_format.h"
#include "base/planted.h"
#include "log/page_table.h"

namespace understudy::backup {

base::Status ScanSnapshot(SnapshotSource& source, const std::string& phase,
                          const base::ProgressSink& progress, const PageSink& sink,
                          std::vector<uint64_t>* hashes) {
  const log::LogEnd at = source.at();
  const uint32_t page_size = source.page_size();
  const uint32_t at_once = std::max<uint32_t>(1, kScanBytes / page_size);
  std::vector<uint8_t> buffer(size_t{at_once} * page_size);
  uint64_t checksum = 0;
  if (hashes != nullptr) hashes->assign(source.pages(), 0);
  for (uint32_t done = 0; done < source.pages();) {
    const uint32_t count = std::min(at_once, source.pages() - done);
    const std::span<uint8_t> images(buffer.data(), size_t{count} * page_size);
    RETURN_IF_ERROR(source.ReadPages(base::PageNo(done + 1), count, images));
    for (uint32_t i = 0; i < count; ++i) {
      const base::PageNo page(done + 1 + i);
      if (page.value == LockPage(page_size)) continue;
      const uint64_t hash = log::HashPage(page, images.subspan(size_t{i} * page_size, page_size));
      checksum ^= hash;
      if (hashes != nullptr) (*hashes)[page.value - 1] = hash;
    }
    if (sink) RETURN_IF_ERROR(sink(base::PageNo(done + 1), images));
    done += count;
    if (progress && !progress({.phase = phase,
                               .bytes_done = uint64_t{done} * page_size,
                               .bytes_total = uint64_t{source.pages()} * page_size})) {
      return base::Cancelled("cancelled");
    }
  }
  if (PLANTED("backup-not-compared")) return {};
  if (MatchesDatabaseChecksum(checksum, page_size, source.pages(), at.checksum)) return {};
  const SnapshotOrigin origin = source.origin();
  return base::Corruption(
      fmt::format("the pages of {} on {} have the checksum {:016x}, on record at {} is "
                  "{:016x}\nunderstudy copy "
                  "reseed {} {} mends a passive copy",
                  origin.database_name, origin.server, checksum, base::ToString(at.position),
                  at.checksum, origin.database_name, origin.server));
}

}  // namespace understudy::backup
