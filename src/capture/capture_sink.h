// SPDX-License-Identifier: Apache-2.0
// Appends the encoder's parts to the log and counts them. Private to capture/. Threading: as
// Capture.
#pragma once

#include "capture/capture.h"

namespace understudy::capture {

struct Capture::Sink final : log::PartSink {
  Sink(log::LogStore& l, uint64_t& b) : log(l), bytes(b) {}
  base::Status OnPart(const log::PartHeader&, base::ByteView part) override {
    bytes += part.size();
    return log.Append(part);
  }
  log::LogStore& log;
  uint64_t& bytes;
};

}  // namespace understudy::capture
