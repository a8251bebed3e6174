// SPDX-License-Identifier: Apache-2.0
// ReplaceContent: makes a live database hold what another one holds, in one commit of stock SQLite.
//
// Readers go on with what they have; writers wait. Nothing is changed if it fails, or if the
// process ends in the middle. The schema's version goes up, so that open connections notice.
// Needs room for the whole source in the destination's WAL. Threading: pure function. Errors: kBusy
// when a writer or a checkpoint is in the way for longer than `busy_timeout`; kInvalidArgument for
// other page sizes; those of SQLite.
#pragma once

#include <string>

#include "base/status.h"
#include "base/time.h"

namespace understudy::sqlite {

struct Replacement {
  std::string destination;  // in WAL mode
  std::string source;       // nobody writes it
  base::Duration busy_timeout{};
};
base::Status ReplaceContent(const Replacement& replacement);

}  // namespace understudy::sqlite
