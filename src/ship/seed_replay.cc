// SPDX-License-Identifier: Apache-2.0
#include "ship/seed_replay.h"

#include <fmt/format.h>

#include "base/planted.h"

namespace understudy::ship {

SeedReplay::SeedReplay(log::LogStore& log, SeedFile& file, const SeedJournal::State& seed,
                       bool resumed)
    : log_(log), file_(file), seed_(seed), resumed_(resumed) {
  CHECK(seed.end.has_value());
  at_ = seed.layout.start;
  target_ = std::max(seed.end->position.seq, at_.position.seq);
  for (const base::Position& chunk : seed.chunk_at) target_ = std::max(target_, chunk.seq);
}

base::Result<bool> SeedReplay::RunOnce(size_t bytes_max) {
  waiting_ = false;
  for (size_t bytes = 0; in_record_ || at_.position.seq < target_;) {
    // A record is begun only once all of it is durable: an incomplete one might still be dropped,
    // and what it did to the pages could not be undone.
    if (!in_record_ && log_.durable().seq <= at_.position.seq) {
      waiting_ = true;
      return false;
    }
    if (bytes >= bytes_max) return false;
    if (!reader_) {
      ASSIGN_OR_RETURN(reader_, log_.ReadAfter(at_.position.seq));
    }
    ASSIGN_OR_RETURN(const auto item, reader_->Next());
    if (!item) {
      return base::Internal(
          fmt::format("the log says that it is durable up to {}, but ends after {}",
                      ToString(log_.durable()), ToString(at_.position)));
    }
    RETURN_IF_ERROR(ApplyPart(*item));
    in_record_ = !item->part.header.last();
    bytes += item->part.bytes.size();
  }
  return Prove();
}

base::Status SeedReplay::ApplyPart(const log::LogReader::Item& item) {
  const log::PartHeader& header = item.part.header;
  if (header.seq_first.value != at_.position.seq.value + 1 ||
      header.checksum_before != at_.checksum) {
    return base::Diverged(fmt::format(
        "the log goes on from {} with a record of commits {} to {} that follows checksum {:016x}, "
        "but the seed stands at checksum {:016x}",
        ToString(at_.position), header.seq_first.value, header.seq_last.value,
        header.checksum_before, at_.checksum));
  }
  RETURN_IF_ERROR(file_.Apply(item.part, seed_.layout, seed_.chunk_at, resumed_));
  if (!header.last()) return {};
  at_.position = header.position();
  at_.generation = item.generation;
  at_.pages = header.pages_after;
  at_.checksum = header.checksum_after;
  at_.commit_time = header.commit_time;
  at_.source = header.source;
  if (at_.position.seq == seed_.end->position.seq && at_.checksum != seed_.end->checksum) {
    return base::Diverged(
        fmt::format("at {} the log has checksum {:016x}, but the source of the "
                    "seed had {:016x}",
                    ToString(at_.position), at_.checksum, seed_.end->checksum));
  }
  return {};
}

base::Result<bool> SeedReplay::Prove() {
  RETURN_IF_ERROR(file_.Resize(at_.pages));
  if (file_.table().checksum() != at_.checksum && !PLANTED("seed-not-compared")) {
    return base::Diverged(fmt::format(
        "the seeded database has checksum {:016x} at {}, but the log says {:016x} ({} pages; {} of "
        "them could not be brought up to date)",
        file_.table().checksum(), ToString(at_.position), at_.checksum, at_.pages,
        file_.unsettled().size()));
  }
  return true;
}

}  // namespace understudy::ship
