// SPDX-License-Identifier: Apache-2.0
#include "server/retention.h"

namespace understudy::server {

base::Seq TruncatableUpTo(const std::vector<log::GenerationInfo>& generations,
                          uint64_t keep_bytes) {
  uint64_t kept = 0;
  for (auto newest = generations.rbegin(); newest != generations.rend(); ++newest) {
    kept += newest->bytes;
    if (kept < keep_bytes) continue;
    const uint64_t first = newest->seq_first.value;
    return base::Seq(first > 0 ? first - 1 : 0);
  }
  return base::Seq(0);
}

base::Result<uint64_t> ApplyRetention(log::LogStore& log, uint64_t keep_bytes) {
  if (log.bytes() <= keep_bytes) return 0;
  const base::Seq up_to = TruncatableUpTo(log.generations(), keep_bytes);
  if (up_to.value == 0 || up_to < log.first_seq()) return 0;
  return log.Truncate(up_to);
}

}  // namespace understudy::server
