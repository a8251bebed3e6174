// SPDX-License-Identifier: Apache-2.0
// Inspector: decides whether a part that came from the network may join the log.
//
// It checks one part against where the log stands: that it parses and its CRC holds, database id,
// the sender's term, generation, and rules R1 to R4 (log::RecordChain). R5 and R6 need the pages:
// replay checks them.
// Threading: pure function.
#pragma once

#include <optional>

#include "log/log_store.h"

namespace understudy::ship {

enum class Rejection { kMalformed, kDatabase, kTerm, kSequence, kChecksum };

// Where the log stands, as far as the next part depends on it.
struct InspectionPoint {
  base::DatabaseId database;
  base::Term term_known;   // the highest one in the group: who has a lower one is fenced
  base::Term source_term;  // of the sender's mount; what it sends may be history of lower terms
  log::RecordChain chain;  // of the log; an empty one takes nothing
};

struct Inspection {
  std::optional<Rejection> rejection;
  base::Status status;       // the rejection in words, naming what was expected and what came
  log::RecordPart part;      // valid without a rejection; borrows the bytes
  bool begins_anew = false;  // part 0 of the record that is held incompletely: drop that one first
};

Inspection Inspect(const InspectionPoint& point, base::Generation generation, base::ByteView bytes);

}  // namespace understudy::ship
