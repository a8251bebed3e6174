// SPDX-License-Identifier: Apache-2.0
// LogStore::State: what log_store.cc, log_recovery.cc and log_reader.cc share; nobody else includes
// this.
//
// The index has one entry a generation, oldest first. Only the appender changes its back, only
// Truncate its front, always under the mutex; files are touched without it. A reader notes
// drop_count before it reads and throws away what it read if the count went up meanwhile.
// Threading: as log_store.h says.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "log/generation_file.h"
#include "log/log_store.h"

namespace understudy::log {

struct GenerationEntry {
  base::Generation number{};
  base::WallTime created{};
  LogEnd before{};  // the last complete record before this file
  base::Seq
      seq_before{};    // the last record that starts before this file (> before: continues here)
  uint64_t bytes = 0;  // valid bytes, header included
  uint64_t durable_bytes = 0;

  static GenerationEntry Of(const GenerationHeader& header, uint64_t bytes);
  bool has_parts() const { return bytes > kGenerationHeaderBytes; }
};

struct LogStore::State {
  State(env::Env& e, const Options& o) : env(e), options(o) {}

  std::string PathOf(base::Generation generation) const;
  // The last entry with seq_before <= after: reading from there on misses nothing. Null: none.
  const GenerationEntry* EntryToReadAfter(base::Seq after) const REQUIRES_LOCK(mutex);
  // Its place in the index.
  std::optional<size_t> Find(base::Generation generation) const REQUIRES_LOCK(mutex);
  base::Seq FirstSeq() const REQUIRES_LOCK(mutex);

  // Appender only.
  base::Status Append(std::optional<base::Generation> wanted, base::ByteView bytes)
      EXCLUDES_LOCK(mutex);
  base::Status Write(uint64_t offset, const RecordPart& part) EXCLUDES_LOCK(mutex);
  base::Status BeginGeneration(base::Generation number, const RecordChain& before)
      EXCLUDES_LOCK(mutex);
  base::Status CreateFile(const GenerationHeader& header) EXCLUDES_LOCK(mutex);
  base::Status SyncFile() EXCLUDES_LOCK(mutex);
  base::Status OpenFile() EXCLUDES_LOCK(mutex);
  base::Status CutFile(base::Generation generation, uint64_t bytes) EXCLUDES_LOCK(mutex);
  base::Status Fail(const base::Status& status) EXCLUDES_LOCK(mutex);  // makes it sticky

  // log_recovery.cc
  base::Status Recover();
  base::Result<std::vector<GenerationHeader>> ReadHeaders();
  base::Status CheckFollows(const GenerationHeader& header, std::vector<GenerationHeader>& older)
      EXCLUDES_LOCK(mutex);
  base::Status ScanNewest(const GenerationHeader& header, bool may_be_torn);
  // Scans one file up to `limit` bytes until the chain ends at `seq` with no open record; the
  // offset and state there. kNotFound when that is no boundary in this file.
  struct Boundary {
    LogEnd end;
    uint64_t offset = 0;
  };
  base::Result<Boundary> FindBoundary(const GenerationEntry& entry, uint64_t limit, base::Seq seq)
      EXCLUDES_LOCK(mutex);

  // Constant after construction.
  env::Env& env;
  const Options options;

  // The appender's own.
  std::unique_ptr<env::File> file;  // of the newest generation; null: open it when needed

  mutable base::Mutex mutex;
  base::CondVar changed;
  base::Status failed GUARDED_BY(mutex);  // sticky
  std::deque<GenerationEntry> index GUARDED_BY(mutex);
  RecordChain chain GUARDED_BY(mutex);  // of what is appended
  base::Position durable GUARDED_BY(mutex);
  uint64_t change_count GUARDED_BY(mutex) = 0;
  uint64_t drop_count GUARDED_BY(mutex) = 0;
  std::map<std::string, Hold> holds GUARDED_BY(mutex);
};

}  // namespace understudy::log
