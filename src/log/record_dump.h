// SPDX-License-Identifier: Apache-2.0
// Shows what is in log files, for people and for programs: `understudy log dump`. Offline and
// read-only: it needs no daemon, changes nothing, and shows a damaged file as far as it can be
// read.
//
// Text: a line for each generation, indented lines for its parts, further indented ones for
// entries. JSON: one object a line, with "type": "generation", "part", "entry" or "damage".
// Threading: pure functions.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "env/env.h"

namespace understudy::log {

struct DumpOptions {
  bool json = false;
  bool entries = false;  // a line for each page, too
};

// Takes one line, without its newline.
using DumpSink = std::function<void(std::string_view line)>;

// Dumps a generation file, or all of a directory in order, checking that each continues the one
// before. Damage (also a torn tail, which the owner would cut off) becomes a line that says where
// and why, and the status kCorruption at the end. kNotFound when there is no log at `path`.
base::Status DumpLog(env::Env& env, const std::string& path, const DumpOptions& options,
                     const DumpSink& sink);

}  // namespace understudy::log
