// SPDX-License-Identifier: Apache-2.0
// History: what applications did to one database and what they were told, and what of it cannot be,
// in the manner of Jepsen's set and register tests. Each row is a number of its own, so the table
// is a set; the newest numbers that a read saw are its register.
//
// An add has one of three ends: *acknowledged*; *refused*, so that it must never be seen; *unknown*
// (the commit failed, or whoever made it died), so that it may or may not be there. A read is
// *fresh* when it was made inside of a write transaction that was acknowledged: then it saw the
// newest state there was. Times are those of one clock for all clients.
//
// Threading: values and functions without state.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"

namespace understudy::sim {

enum class AddEnd { kUnknown, kAcknowledged, kRefused };

struct Add {
  std::string server;
  base::SteadyTime begin;
  base::SteadyTime end;
  AddEnd told = AddEnd::kUnknown;
};

struct Read {
  std::string client;  // one process that reads one copy
  std::string server;  // whose copy that is
  base::SteadyTime begin;
  base::SteadyTime end;
  bool fresh = false;
  int64_t from = 0;       // it saw all rows with this number or a higher one, which are …
  std::set<int64_t> saw;  // … these
};

struct History {
  std::map<int64_t, Add> adds;  // by row
  std::vector<Read> reads;      // in the order in which each client made them
  std::vector<int64_t> last;    // rows of the database in the end
  std::set<int64_t> kept;       // rows that are in bundles of lost log instead
};

// What the dial allows. An acknowledged row may be missing only if it is kept, and if another
// server's next acknowledged row was begun no later than `after` it.
struct LossBound {
  bool lossless = true;
  base::Duration after{};
};

struct Anomaly {
  enum class Kind {
    kLost,          // acknowledged, and neither there nor kept
    kBeyondDial,    // kept, but the dial did not allow to lose it
    kDuplicated,    // there twice
    kInvented,      // there or read, and nobody wrote it, or not before it was read
    kUndead,        // there or read, and was refused
    kStale,         // a fresh read did not see what was acknowledged before it began
    kNotMonotonic,  // a client did not see what it had seen before
  };
  Kind kind;
  int64_t row = 0;
  std::string text;  // for a person
};

std::vector<Anomaly> FindAnomalies(const History& history, const LossBound& bound);

}  // namespace understudy::sim
