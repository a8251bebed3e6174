// SPDX-License-Identifier: Apache-2.0
// The inside of SeedTarget (seed_target.h): seed_target.cc has its life cycle and messages,
// seed_target_work.cc the work of RunOnce.
// Threading: confined to one thread.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "ship/seed_base.h"
#include "ship/seed_chunk.h"
#include "ship/seed_file.h"
#include "ship/seed_journal.h"
#include "ship/seed_replay.h"
#include "ship/seed_target.h"

namespace understudy::ship {

struct SeedTarget::Core {
  Core(env::Env& e, const Options& o, log::LogStore& l) : env(e), options(o), log(l) {}

  std::string FilePath() const { return options.path + ".seeding"; }
  std::string JournalPath() const { return options.path + ".seeding.state"; }

  // Life cycle.
  base::Status Load();
  base::Status LoadReady();
  base::Status CheckNotInTheWay() const;
  base::Status RemoveFiles();
  void SetHold(const log::LogEnd& from);
  void Fail(const base::Status& why);
  void Restart(const base::Status& why, base::SteadyTime now);
  void AskAgain(const std::string& why, base::SteadyTime now);
  void StopReceiving();
  void SetProgress();
  bool HasAllChunks() const;

  // Messages.
  void OnStart(const SeedStart& message, base::SteadyTime now);
  base::Status BeginSeed(const SeedStart& message);
  base::Status FitLog(const log::LogEnd& start);
  void OnChunk(SeedChunk&& message, base::SteadyTime now);
  void OnEnd(const SeedEnd& message, base::SteadyTime now);
  bool IsBehindChunks(base::Seq seq) const;
  void OnRefused(const Refused& message, base::SteadyTime now);

  // Work.
  RunResult Run(base::SteadyTime now);
  void Ask(base::SteadyTime now, RunResult& result);
  base::Status Rehash(base::SteadyTime now, RunResult& result);
  base::Status PutBase(base::SteadyTime now, RunResult& result);
  std::string FaultOf(const SeedChunk& chunk) const;
  base::Status StoreChunks(base::SteadyTime now, RunResult& result);
  base::Status StoreOne(const SeedChunk& chunk, base::SteadyTime now, bool& stored);
  base::Status MakeDurable(base::SteadyTime now, RunResult& result);
  base::Status BeginReplay();
  base::Status Replay(base::SteadyTime now, RunResult& result);
  base::Status Finish();
  base::Status Publish();
  void SendAck(base::SteadyTime now, RunResult& result);
  bool Wanted();
  // The chunks that are in the file; the number of the next one.
  uint32_t stored_chunks() const {
    return static_cast<uint32_t>(journal->state().chunk_at.size() + stored_at.size());
  }
  // Pages that are here are of use for the seed under way.
  bool resync() const {
    return seed_base && journal && seed_base->page_size() == journal->state().layout.page_size;
  }

  env::Env& env;
  const Options options;
  log::LogStore& log;
  SeedUnpacker unpacker;
  std::unique_ptr<SeedBase> seed_base;  // null: no pages are here, or they are not needed any more
  Status status;
  Channel* channel = nullptr;
  base::Term term_known;
  base::RateLimit* rate = nullptr;
  bool pages_elsewhere = false;

  // Of the current request.
  uint64_t request = 0;
  bool want_request = true;  // ask at ask_at
  bool asked = false;        // answers to `request` are welcome
  base::SteadyTime ask_at{};
  base::SteadyTime answer_due{};
  uint64_t consumed_bytes = 0;
  bool ack_due = false;
  int retries = 0;  // bad chunks and silence since a chunk became durable

  // Of the current seed.
  std::unique_ptr<SeedJournal> journal;  // null: no seed has started
  std::unique_ptr<SeedFile> file;
  std::unique_ptr<SeedReplay> replay;
  std::deque<SeedChunk> queue;  // bounded by window_bytes
  uint64_t queued_bytes = 0;
  std::vector<base::Position> stored_at;  // of chunks written but not durable yet
  uint64_t stored_bytes = 0;
  base::SteadyTime stored_since{};
  std::optional<log::LogEnd> end;  // SeedEnd has come
  bool resumed = false;            // an earlier process may have replayed onto the file
  base::PageNo rehash_next{1};

  std::optional<log::Checkpoint> checkpoint;
};

}  // namespace understudy::ship
