// SPDX-License-Identifier: Apache-2.0
// What a scrub has found to be wrong, and what a copy's scrub has come to: values that are saved,
// told and compared.
// Threading: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace understudy::scrub {

// A page or a generation of the log that is not what was written, until it is repaired.
struct Finding {
  enum class Kind { kPage, kGeneration };
  // kWaiting: a copy that may have the right one could not be asked, or is in use; tried again
  // soon. kFailed: every copy was asked, none has it; tried again rarely.
  enum class Outcome { kNew, kWaiting, kFailed };

  Kind kind = Kind::kPage;
  uint64_t number = 0;
  uint64_t expected = 0;  // of a page: the hash on record …
  uint64_t found = 0;     // … and of what was read; 0: unreadable
  std::string damage;     // of a generation, or a page that could not be read: what is wrong
  base::WallTime since;
  Outcome outcome = Outcome::kNew;
  std::string why;  // it is not repaired yet

  std::string Name() const;  // "page 17", "generation 000000000000001f"
};

// Counts of one pass.
struct PassCounts {
  uint64_t pages = 0;
  uint64_t generations = 0;
  uint64_t bytes = 0;
  uint64_t found = 0;
  uint64_t repaired = 0;
  uint64_t failed = 0;  // of those found, not repaired when the pass ended

  bool operator==(const PassCounts&) const = default;
};

// What survives a restart.
struct ScrubState {
  // The pass under way, or none: where it has come to.
  bool running = false;
  bool asked = false;  // by a person
  base::WallTime started;
  bool in_log = false;  // the pages are done
  uint32_t next_page = 1;
  uint64_t last_generation = 0;  // the newest that was looked at
  PassCounts counts;
  // The last pass that ended; last_started is when the copy was first seen before there was one.
  base::WallTime last_started;
  base::WallTime last_finished;  // 0: there was none yet
  PassCounts last;
  std::string stopped;  // why the last pass did not go to its end; empty: it did
  // Since the copy is here.
  uint64_t repaired_total = 0;
  std::vector<Finding> findings;  // not repaired yet, at most kFindingsMax
};

inline constexpr size_t kFindingsMax = 1000;

std::string ToJson(const ScrubState& state);
// An empty state for text that is none: the pass begins anew then.
ScrubState ScrubStateFromJson(const std::string& text);

}  // namespace understudy::scrub
