// SPDX-License-Identifier: Apache-2.0
#include "log/record_chain.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/planted.h"
#include "log/record_format.h"

namespace understudy::log {

using base::Status;

namespace {

constexpr uint16_t kRecordFlags = kRecordMount | kRecordHealing;

bool SameRecord(const PartHeader& a, const PartHeader& b) {
  return (a.flags & kRecordFlags) == (b.flags & kRecordFlags) && a.term == b.term &&
         a.seq_first == b.seq_first && a.seq_last == b.seq_last && a.commit_time == b.commit_time &&
         a.page_size == b.page_size && a.pages_after == b.pages_after &&
         a.checksum_before == b.checksum_before;
}

}  // namespace

Status RecordChain::CheckContinues(const Open& open, const PartHeader& header) {
  if (header.part != open.parts) {
    return base::InvalidArgument(fmt::format("part {} of record {} came where part {} is next",
                                             header.part, header.seq_first.value, open.parts));
  }
  if (!SameRecord(header, open.header)) {
    return base::InvalidArgument(
        fmt::format("part {} of record {} belongs to another version of that record than the {} "
                    "parts before it",
                    header.part, header.seq_first.value, open.parts));
  }
  return Status();
}

Status RecordChain::Check(const PartHeader& header) const {
  if (open_) return CheckContinues(*open_, header);
  if (!header.first()) {
    return base::InvalidArgument(fmt::format("part {} of record {} came where part 0 is next",
                                             header.part, header.seq_first.value));
  }
  if (empty()) return Status();
  const base::Seq next = end_.position.seq.Next();
  if (header.seq_first > next) {
    return base::LogGap(
        fmt::format("record {} came where {} is next", header.seq_first.value, next.value));
  }
  if (header.seq_first < next) {
    return base::AlreadyExists(fmt::format("record {} came again: the log has all up to {}",
                                           header.seq_first.value, base::ToString(end_.position)));
  }
  const bool mount = (header.flags & kRecordMount) != 0;
  if (header.term < end_.position.term) {
    return base::Fenced(fmt::format("record {} has term {}; the log is in term {} already",
                                    header.seq_first.value, header.term.value,
                                    end_.position.term.value));
  }
  if (mount != (header.term > end_.position.term)) {
    return base::Fenced(
        fmt::format("record {} of term {} after {}: a term begins with a mount record, and only it",
                    header.seq_first.value, header.term.value, base::ToString(end_.position)));
  }
  if (header.checksum_before != end_.checksum && !PLANTED("chain-not-compared")) {
    return base::Diverged(fmt::format(
        "record {} was made after database checksum {:016x}, but after {} it is {:016x} here",
        header.seq_first.value, header.checksum_before, base::ToString(end_.position),
        end_.checksum));
  }
  if (end_.page_size != 0 && header.page_size != end_.page_size) {
    return base::Diverged(fmt::format("record {} has pages of {} bytes, the log of {}",
                                      header.seq_first.value, header.page_size, end_.page_size));
  }
  return Status();
}

void RecordChain::Advance(const PartHeader& header, uint32_t crc, base::Generation generation) {
  if (empty()) end_ = StateBefore(header);
  if (!header.last()) {
    open_ = Open{.header = header, .parts = header.part + 1, .last_crc = crc};
    return;
  }
  open_.reset();
  end_ = EndAfter(header, generation);
}

LogEnd EndAfter(const PartHeader& header, base::Generation generation) {
  return {.position = header.position(),
          .generation = generation,
          .page_size = header.page_size,
          .pages = header.pages_after,
          .checksum = header.checksum_after,
          .commit_time = header.commit_time,
          .source = header.source};
}

bool RecordChain::SamePlace(const RecordChain& other) const {
  if (end_.position != other.end_.position || end_.checksum != other.end_.checksum) return false;
  if (!open_ || !other.open_) return open_.has_value() == other.open_.has_value();
  return open_->parts == other.open_->parts && open_->last_crc == other.open_->last_crc;
}

uint32_t PartCrc(base::ByteView part) {
  CHECK(part.size() >= kPartBytesMin);
  return base::LoadLe<uint32_t>(part.data() + part.size() - kPartCrcBytes);
}

LogEnd StateBefore(const PartHeader& header) {
  const bool mount = (header.flags & kRecordMount) != 0;
  LogEnd state;
  state.position.seq = base::Seq(header.seq_first.value - 1);
  // Before seq 1 there is nothing; else the term just below a mount's is the best that is known.
  if (header.seq_first.value > 1) {
    state.position.term = base::Term(mount ? header.term.value - 1 : header.term.value);
  }
  state.page_size = header.page_size;
  state.checksum = header.checksum_before;
  return state;
}

}  // namespace understudy::log
