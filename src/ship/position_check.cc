// SPDX-License-Identifier: Apache-2.0
#include "ship/position_check.h"

#include <fmt/format.h>

namespace understudy::ship {

base::Status CheckCopyPosition(log::LogStore& log, const log::LogEnd& have) {
  const base::Position durable = log.durable();
  const base::Seq seq = have.position.seq;
  if (seq.value == 0) {
    return base::LogGap("the copy has no position yet: it needs a seed");
  }
  if (seq > durable.seq) {
    return base::Diverged(
        fmt::format("the copy has {}, but the active copy's log ends at {}: the "
                    "copy has commits that the active never had or lost",
                    ToString(have.position), ToString(durable)));
  }
  const base::Seq first = log.first_seq();
  auto ours = log.StateAt(seq);
  if (!ours.ok() && ours.status().code() == base::Code::kNotFound) {
    if (seq.value + 1 < first.value) {
      return base::LogGap(
          fmt::format("the copy is at {}, but the oldest commit in the active's log "
                      "is {}: it needs a seed",
                      ToString(have.position), first.value));
    }
    if (seq.value + 1 == first.value) {
      const auto generations = log.generations();
      if (!generations.empty() && generations.front().checksum_before == have.checksum) return {};
      return base::Diverged(
          fmt::format("the copy's checksum at {} is not what the active's log "
                      "begins with",
                      ToString(have.position)));
    }
    return base::Diverged(
        fmt::format("the copy is at {}, where the active's log has no record "
                    "boundary",
                    ToString(have.position)));
  }
  if (!ours.ok()) return ours.status();
  if (ours->position != have.position || ours->checksum != have.checksum ||
      ours->pages != have.pages) {
    return base::Diverged(
        fmt::format("at commit {} the copy has {} with checksum {:016x}, the "
                    "active has {} with {:016x}",
                    seq.value, ToString(have.position), have.checksum, ToString(ours->position),
                    ours->checksum));
  }
  return {};
}

}  // namespace understudy::ship
