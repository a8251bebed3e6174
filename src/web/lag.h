// SPDX-License-Identifier: Apache-2.0
// `lag=` of a question: how far a passive copy may be behind for the answer to be yes.
//
//   lag=100    at most 100 commits        lag=2s, lag=500ms, lag=5m    at most so much time
//
// Bytes are not a measure here: a commit's size says nothing about what a reader misses.
// Threading: values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "web/status_source.h"

namespace understudy::web {

struct Lag {
  std::optional<uint64_t> commits;
  std::optional<base::Duration> time;
};

// kInvalidArgument says what is allowed.
base::Result<Lag> ParseLag(std::string_view text);

enum class LagOf {
  kReplayed,  // what readers see
  kCopied,    // what is durable in the copy's log
};
// Empty when the copy is within the lag, else the sentence that says why not. What is not known is
// not within.
std::string BeyondLag(const LocalCopy& copy, LagOf what, const Lag& lag);

}  // namespace understudy::web
