// SPDX-License-Identifier: Apache-2.0
// RecordChain: the state of a log after some part, and whether another part may follow it: rules R1
// to R4 of record.h in one place, for whoever appends, scans or inspects.
//
//   at a boundary  --part 0 without kPartLast-->  open (parts held: 1)
//   open           --the next part------------->  open (one more), or at a boundary with kPartLast
//   open           --DropOpen------------------>  at a boundary
//
// Threading: values.
#pragma once

#include <optional>

#include "log/log_end.h"
#include "log/record.h"

namespace understudy::log {

class RecordChain {
 public:
  // A record of which some parts, but not the last, are here.
  struct Open {
    PartHeader header;  // of the newest part
    uint32_t parts = 0;
    uint32_t last_crc = 0;
  };

  RecordChain() = default;
  RecordChain(const LogEnd& end, const std::optional<Open>& open) : end_(end), open_(open) {}

  const LogEnd& end() const { return end_; }  // of the last complete record
  const std::optional<Open>& open() const { return open_; }
  bool empty() const { return end_.position.seq.value == 0 && !open_; }

  // Ok when a part with this header may come next. An empty chain takes any part 0. Otherwise:
  //   R1  kInvalidArgument: not the next part of the open record
  //   R2  kLogGap: seq too high; kAlreadyExists: seq is here already
  //   R3  kFenced: lower term, higher term without kRecordMount, or a mount without a higher one
  //   R4  kDiverged: it follows a record with another checksum
  // and kDiverged when the page size changes.
  base::Status Check(const PartHeader& header) const;

  // REQUIRES: Check(header) is ok. `crc` is PartCrc of the part's bytes.
  void Advance(const PartHeader& header, uint32_t crc, base::Generation generation);

  void DropOpen() { open_.reset(); }

  // How many parts of the open record are here; 0 at a boundary.
  uint32_t open_parts() const { return open_ ? open_->parts : 0; }
  // Whether both are at the same place, by position, checksum, and parts of the open record.
  bool SamePlace(const RecordChain& other) const;

 private:
  static base::Status CheckContinues(const Open& open, const PartHeader& header);

  LogEnd end_;
  std::optional<Open> open_;
};

// The CRC-32C at the end of a part. REQUIRES: ParsePart(part) is ok.
uint32_t PartCrc(base::ByteView part);

// The state after a record, of whose last part `header` is.
LogEnd EndAfter(const PartHeader& header, base::Generation generation);

// The state that an empty log is taken to have had before `header`, its first part.
LogEnd StateBefore(const PartHeader& header);

}  // namespace understudy::log
