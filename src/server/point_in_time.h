// SPDX-License-Identifier: Apache-2.0
// A point in the log that a lagged copy holds, and the database as it was there, as a new file.
//
// Nothing of the copy is changed: its pages come from a snapshot, the log is read. A point is the
// last record that was committed until a time, or that ends at or before a seq. Commit times are
// the active copies' clocks; where one was set back, the point is before the first record that is
// later than the time. Memory: 12 bytes a page and some MiB. Threading: pure functions; the log and
// the snapshot are used by this thread meanwhile. Errors: kInvalidArgument when the point cannot be
// had, and what can; kDiverged when what was made does not have the checksum that the log says;
// those of Env.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "log/log_store.h"
#include "sqlite/snapshot_reader.h"

namespace understudy::server {

struct WantedPoint {
  std::optional<base::Seq> seq;  // else time
  base::WallTime time;
};

struct LogPoint {
  log::LogEnd at;
  log::LogEnd earliest;  // what is replayed
  log::LogEnd last;      // the end of the log
  uint64_t records_after = 0;
  uint64_t commits_after = 0;
  base::WallTime first_after;  // commit time of the first record after the point
  uint64_t bytes_after = 0;
};

// Whether to go on.
using Continue = std::function<bool()>;

// Reads all of the log after `replayed`. `known_until`: no commit is missing before that time,
// though the log may end earlier.
base::Result<LogPoint> FindPoint(log::LogStore& log, const log::LogEnd& replayed,
                                 const WantedPoint& wanted, base::WallTime known_until,
                                 const Continue& go_on);

struct Extraction {
  std::string path;  // of the new file; made anew
  base::DatabaseId database;
  log::LogEnd from;  // of the snapshot
  log::LogEnd to;
};
// Gets bytes done, of all pages and then of log; false: stop.
using ExtractProgress = std::function<bool(const char* phase, uint64_t done, uint64_t total)>;

// ENSURES: the file is the database at `to`, each page proven by the checksum, and needs no WAL
// (its header says "rollback journal").
base::Status ExtractDatabase(env::Env& env, const Extraction& what, sqlite::SnapshotReader& pages,
                             log::LogStore& log, const ExtractProgress& progress);

}  // namespace understudy::server
