// SPDX-License-Identifier: Apache-2.0
// Whether a copy that stands at `have` can go on with the log of a source.
// Threading: pure function over a thread-safe LogStore.
#pragma once

#include "log/log_store.h"

namespace understudy::ship {

// ok: the source has that very state and every record after it. kLogGap: the copy needs a seed.
// kDiverged: the copy has what the source has not, or something else at the same place.
base::Status CheckCopyPosition(log::LogStore& log, const log::LogEnd& have);

}  // namespace understudy::ship
