// SPDX-License-Identifier: Apache-2.0
// The checkpoint file: a copy's page table at a position, so that a restart need not read the whole
// database.
//
// Written atomically (env::WriteFileAtomically). After a crash the owner loads it and rolls it
// forward with the hashes of the log's entries; no page image is needed for that. Byte table:
// docs/formats/checkpoint.md. Threading: pure functions.
#pragma once

#include <optional>
#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "log/page_table.h"

namespace understudy::log {

struct Checkpoint {
  base::DatabaseId database{};
  LogEnd at{};  // the table's state: table.checksum() == at.checksum, table.pages() == at.pages
  PageTable table{};
};

base::Status SaveCheckpoint(env::Env& env, const std::string& path, const Checkpoint& checkpoint);
// kNotFound when there is none, kCorruption when it cannot be trusted (the owner then re-reads the
// database).
base::Result<Checkpoint> LoadCheckpoint(env::Env& env, const std::string& path);
// The same from the file's bytes.
base::Result<Checkpoint> ParseCheckpoint(base::ByteView bytes);

// Applies the entries' hashes of all complete records after checkpoint.at, up to the record
// boundary `to`, else to the durable end of `log`. kLogGap when the log does not have them;
// kDiverged when a record's checksums do not fit (R4, R5). After a failure the checkpoint is
// somewhere in between: load it anew.
base::Status RollForward(LogStore& log, Checkpoint& checkpoint,
                         std::optional<base::Seq> to = std::nullopt);

}  // namespace understudy::log
