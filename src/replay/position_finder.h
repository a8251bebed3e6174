// SPDX-License-Identifier: Apache-2.0
// Finds out which position of its log a passive database file has (docs/design/0002).
//
// After a stop, a kill or a power cut the file's content is that of some record boundary at or
// after the saved checkpoint; which one is written nowhere, because nothing needs to be: the hashes
// in the log tell. Every page that records after the checkpoint touch is read and hashed once; the
// newest record boundary with which all of them agree is the position. If none agrees (somebody
// else's checkpoint did not sync, and then the power failed), each page still has the image of some
// record, and the result says of which: replay then goes over the records again and skips, page by
// page, what is there already, without letting readers see a state in between.
//
// Memory: about 50 bytes for each page touched since the checkpoint. Threading: pure functions on
// borrowed objects.
#pragma once

#include <unordered_map>

#include "log/checkpoint_file.h"
#include "log/log_store.h"
#include "sqlite/passive_wal.h"

namespace understudy::replay {

struct FoundPosition {
  log::LogEnd at;  // what `table` describes and replay goes on from
  log::PageTable table;
  // Only when the file is a mixture: the record whose image each page has. Entries up to it are
  // skipped; nothing may be committed before `mixed_until` is applied.
  std::unordered_map<base::PageNo, base::Seq> versions;
  base::Seq mixed_until;
};

// `verify_all` also hashes the pages that no record touches: for a file that somebody other than a
// Replayer may have written (a former active). kDiverged when the file has content that is not from
// this log, kLogGap when the log no longer has the records after the checkpoint.
base::Result<FoundPosition> FindPosition(log::LogStore& log, const log::Checkpoint& checkpoint,
                                         sqlite::PassiveWal& wal, bool verify_all);

// For a copy whose checkpoint file is missing or damaged: hashes the whole database and looks for
// the newest record of the log with that checksum. kDiverged when there is none.
base::Result<log::Checkpoint> RebuildCheckpoint(log::LogStore& log, base::DatabaseId database,
                                                sqlite::PassiveWal& wal);

}  // namespace understudy::replay
