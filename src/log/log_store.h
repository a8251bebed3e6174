// SPDX-License-Identifier: Apache-2.0
// LogStore: the log of one copy, a directory of generation files; and LogReader, which follows it.
//
// Files: "<generation in 16 hex digits>.ulog" (docs/formats/log.md): a generation header, then
// parts. A generation is closed once it holds generation_bytes or more, at a part boundary, by the
// active; a passive copies its numbers, so that generations mean the same on every copy.
//
// Invariants:
//   1. What is durable() was fdatasync'ed, and so was its file's name in the directory.
//   2. Parts on disk obey R1 to R4 of record.h; Append refuses others and changes nothing then.
//   3. Open keeps the longest valid run: a torn tail of the newest file is cut off; damage before
//   it is
//      kCorruption and names file, offset and the last good position.
//   4. The first failed write or sync is sticky: every later Append and Sync returns it. Reopen to
//   go on.
//
// Memory while idle: about 150 bytes a generation. Descriptors: one while appending and one for
// each reader while it reads; both are given back when idle (CloseIdleFile; a reader does it by
// itself).
//
// Threading: thread-safe, but Append, AppendToGeneration, StartAt, Sync, DropIncomplete and
// CloseIdleFile are for one thread at a time, the appender. LogReader is thread-compatible and
// may outlive nothing: the LogStore must outlive its readers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "env/env.h"
#include "log/log_end.h"
#include "log/record.h"
#include "log/record_chain.h"

namespace understudy::log {

inline constexpr uint64_t kGenerationBytesDefault = 1 << 20;

// Parts of a record whose last part is not here yet; what a log copier resumes with.
struct IncompleteRecord {
  base::Seq seq_first{};
  uint32_t parts = 0;
  uint32_t last_crc = 0;  // the CRC-32C at the end of the last part held
};

struct GenerationInfo {
  base::Generation number{};
  base::Seq seq_first{};  // of its first record that starts here
  uint64_t checksum_before = 0;
  base::WallTime created{};
  uint64_t bytes = 0;
};

// A named reason to keep log: truncation never passes seq (records > seq are kept).
struct Hold {
  std::string name{};    // "passive s3", "backup 20260301T093000Z"; one hold per name
  std::string reason{};  // what would release it, for people
  base::Seq seq{};
};

class LogStore;

// Follows a log from a position on, part by part, up to what is durable.
// When an incomplete record is dropped under it, it rewinds: the next part is part 0 of that record
// again.
class LogReader {
 public:
  ~LogReader();
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  struct Item {
    base::Generation generation{};
    RecordPart part;  // borrows the reader's buffer until the next call
  };
  // The next part; nothing when there is none (yet). kLogGap when truncation overtook the reader.
  base::Result<std::optional<Item>> Next();

 private:
  friend class LogStore;
  struct State;
  explicit LogReader(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

class LogStore {
 public:
  struct Options {
    std::string directory{};  // made if absent
    base::DatabaseId database{};
    uint64_t generation_bytes = kGenerationBytesDefault;
  };
  static base::Result<std::unique_ptr<LogStore>> Open(env::Env& env, const Options& options);
  ~LogStore();
  LogStore(const LogStore&) = delete;
  LogStore& operator=(const LogStore&) = delete;

  // Both ways to append check the part (kCorruption) and R1 to R4 (RecordChain::Check has the
  // codes). The active's way: begins a new generation by itself when the current one is full, which
  // syncs.
  base::Status Append(base::ByteView part);
  // The passive's way: `generation` is what the active put it into; never lower than the current
  // one. An empty log accepts any record boundary as its start (after a seed): see StartAt.
  base::Status AppendToGeneration(base::Generation generation, base::ByteView part);
  // For an empty log: the next record must follow this state. kInvalidArgument when not empty.
  // ENSURES: the state is durable.
  base::Status StartAt(const LogEnd& state);
  // Makes everything appended so far durable. Calls wake waiting readers through WaitForChange.
  base::Status Sync();
  // Cuts the parts of an unfinished record off (capture starts that record anew; a copier was told
  // to). ENSURES: durably.
  base::Status DropIncomplete();
  // Gives the append file's descriptor back; the next append opens it again.
  void CloseIdleFile();

  LogEnd end() const;  // of what is appended
  RecordChain chain() const;
  base::Position durable() const;
  std::optional<IncompleteRecord> incomplete() const;
  base::Seq first_seq() const;  // the oldest record still here; seq 0 when the log is empty
  uint64_t bytes() const;
  std::vector<GenerationInfo> generations() const;

  // Reads records with seq > after, which must be a record boundary. kLogGap (naming the oldest one
  // here) when they were truncated; kNotFound when the log does not reach `after`.
  base::Result<std::unique_ptr<LogReader>> ReadAfter(base::Seq after);
  // The state right after record `seq` (its LogEnd), for comparing positions; kNotFound if that
  // record boundary is not in this log or not durable yet. Reads one file at most.
  base::Result<LogEnd> StateAt(base::Seq seq);

  // Waits until something became durable after `known` (or an incomplete record grew), or the limit
  // passed. Only for threads of server/; components poll durable() in RunOnce.
  void WaitForChange(uint64_t known_change, base::Duration limit);
  uint64_t change_count() const;  // goes up at every Sync and DropIncomplete

  void SetHold(const Hold& hold);
  void ReleaseHold(const std::string& name);
  std::vector<Hold> holds() const;
  // Removes whole generations whose records are all <= up_to and which no hold needs, never the
  // newest. Returns bytes freed.
  base::Result<uint64_t> Truncate(base::Seq up_to);

  // Reads what is durable of a generation again and checks all of it: kCorruption or kIoError says
  // what is wrong, at which offset; kNotFound: truncated.
  base::Status CheckGeneration(base::Generation generation);
  // A piece of a closed generation's file, for another copy. kUnavailable while it is written.
  struct GenerationBytes {
    uint64_t total = 0;
    base::Bytes bytes{};
  };
  base::Result<GenerationBytes> ReadGeneration(base::Generation generation, uint64_t offset,
                                               uint64_t bytes_max);
  // Puts `other`, the same generation's file of another copy, in the place of one that is damaged.
  // Every part of it must prove itself and follow the one before, and the end must be where the
  // next generation begins; kInvalidArgument otherwise. kBusy while it is still being written.
  // ENSURES: the old file or the new one is there after a crash.
  base::Status ReplaceGeneration(base::Generation generation, base::ByteView other);

 private:
  friend class LogReader;
  struct State;
  struct Checker;  // log_check.cc
  explicit LogStore(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::log
