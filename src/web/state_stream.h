// SPDX-License-Identifier: Apache-2.0
// StateStream: what /api/v1/state tells, as a stream of server-sent events: the whole once, then
// what has changed.
//
//   event: state   everything; what was known before is forgotten
//   event: change  fields and rows that are new or different, null for those that are gone
//   event: beat    nothing else has changed
//
// Each carries `set.now` and `set.coordinator_silence_ms`. Rows are whole, by name; what changes
// all the time (ages, when a server was seen) is left out. The id is "RUN-NUMBER": whoever
// comes back with one gets what was missed while that is among the last kFramesMax, and everything
// otherwise. Threading: thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "web/status_source.h"

namespace understudy::web {

inline constexpr const char* kStateStreamPath = "/api/v1/state/stream";
inline constexpr const char* kEventStreamType = "text/event-stream";

class StateStream {
 public:
  static constexpr size_t kFramesMax = 64;
  static constexpr size_t kFrameBytesMax = 1 << 20;  // of all that are kept

  // For those who have everything so far.
  std::string Next(const Snapshot& snapshot);
  // For who comes, after Next; `last_event_id` is empty the first time.
  std::string Since(std::string_view last_event_id) const;

 private:
  using Rows = std::map<std::string, std::string>;  // JSON by name
  static constexpr size_t kParts = 4;
  using Parts = std::array<Rows, kParts>;
  struct Frame {
    uint64_t number = 0;
    std::string text;
  };

  static Parts Read(const Snapshot& snapshot, std::string& clock);
  std::string Write(const char* event, const Parts& parts) const;
  void Keep(std::string text);

  std::string run_;  // when the daemon was started
  uint64_t number_ = 0;
  std::string clock_;  // now and silence
  Parts known_;
  std::deque<Frame> kept_;
  size_t kept_bytes_ = 0;
};

}  // namespace understudy::web
