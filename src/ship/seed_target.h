// SPDX-License-Identifier: Apache-2.0
// SeedTarget: receives a seed into "<path>.seeding", brings it to one position with the log, proves
// it by the database checksum and gives it its final name.
//
//   Open -> kRehashing (a resumed seed: reads what is there) -> kWaiting (for a channel, SeedStart)
//        -> kCopying -> (SeedEnd) kReplaying -> kDone;   any -> kFailed
//   kReplaying: needs a LogCopier to bring the log; see the state machine of page positions below.
//
// Pages of another copy. With SetPagesElsewhere(true) the channel is asked for SeedStart only,
// while has_start() is false: give it the active copy's. From then on give it the channel of the
// copy that has the pages, by OnConnected; the log comes from the active copy all the while. Any
// source may take over at any chunk.
//
// Correctness. Chunk n was read at position P(n) >= start. A page of the file is at P(n), pages
// after the original size at `start` (they did not exist). An entry of a record with seq_last <=
// the page's position is skipped: the image already has it. Any later entry finds exactly its base
// image in the file. A record that makes the database smaller cuts nothing off before the end is
// reached (a chunk may hold an image from after the database grew again; a page that comes back is
// always logged as a full image). At the end, the first record boundary at or after every P(n),
// SeedEnd.at and (for a resumed seed) everything that may have been applied before, the file is cut
// to size and its checksum must be the record's: otherwise the seed starts anew, at most
// kAttemptsMax times. A resumed replay starts at `start` again; an entry whose page already is at
// or ahead of it is recognised by its hash, and the checksum at the end vouches for the whole.
//
// Resync. With a base (the pages that this copy has; seed_base.h) only pages that differ are sent;
// everything else is the same. Pages of the base are written before their chunk comes and count
// with it only, so a resumed seed may have the same base, another one or none. Another page size
// makes it useless; the last attempt does without it.
//
// Files: "<path>.seeding" (page images; no live SQLite database), "<path>.seeding.state" (journal:
// layout and start, then durable chunks with their positions; seed_journal.h). Both survive kill -9
// and a power cut. At the end: mark (byte 18 of page 1 = 3), sync, checkpoint file, rename to
// `path`, sync of the directory, removal of the journal.
//
// The log: an empty LogStore is started at `start`; one with records must be contiguous with the
// source's (the LogCopier finds out: if it fails with kLogGap or kDiverged meanwhile, Cancel()
// this, remove the log, and begin with both anew). The hold kHoldName keeps it from being truncated
// meanwhile; the server sets its own (replayer, …) before it calls ReleaseHold().
//
// Memory: window_bytes + 16 bytes a page. Threading: confined to one thread.
#pragma once

#include <memory>
#include <string>

#include "base/progress.h"
#include "base/rate_limit.h"
#include "env/env.h"
#include "log/checkpoint_file.h"
#include "ship/base_pages.h"
#include "ship/messages.h"
#include "ship/run_result.h"

namespace understudy::ship {

class SeedTarget {
 public:
  struct Options {
    base::DatabaseId database{};
    std::string database_name{};    // for messages
    uint64_t incarnation = 0;       // SeedRequest::incarnation
    std::string path{};             // the database's final name
    std::string checkpoint_path{};  // log::SaveCheckpoint goes here
    // Replace a database already at `path` (its -wal and -shm are removed): only for a copy that
    // nobody has open. Otherwise an existing file is kAlreadyExists.
    bool replace_existing = false;
    uint64_t window_bytes = kWindowBytesDefault;
    base::Duration answer_limit = std::chrono::seconds(60);  // to a SeedRequest
    base::ProgressSink progress{};  // optional; returning false cancels and removes the files
  };
  enum class State { kRehashing, kWaiting, kCopying, kReplaying, kDone, kFailed };
  static constexpr int kAttemptsMax = 3;
  static constexpr std::string_view kHoldName = "seeding of this copy";

  struct Status {
    State state = State::kWaiting;
    std::string source{};
    uint64_t seed_id = 0;
    uint32_t chunks = 0;
    uint32_t chunks_durable = 0;
    uint64_t page_bytes_done = 0;
    uint64_t page_bytes_total = 0;
    // Since this object was made:
    uint64_t bytes_received = 0;   // compressed images
    uint64_t hash_bytes_sent = 0;  // of a resync
    uint64_t pages_fetched = 0;
    bool resync = false;  // with a base that is of use
    base::Position start{};
    base::Position replayed{};
    base::Position target{};  // the seed is whole once replayed reaches this
    uint64_t resumes = 0;     // connections that went on with the seed
    uint64_t rejected_chunks = 0;
    int attempt = 1;           // whole seeds begun
    std::string last_event{};  // why the last restart or retry happened
    std::string waiting{};     // the source's words, while it lets this seed wait
    base::Status failure{};
  };

  // Resumes the seed that the files at options.path + ".seeding*" tell of, if any. kAlreadyExists
  // when there is a database at `path` and replace_existing is not set. `env` and `log` are
  // borrowed and must outlive this. `base` is destroyed before the database is replaced.
  static base::Result<std::unique_ptr<SeedTarget>> Open(env::Env& env, const Options& options,
                                                        log::LogStore& log,
                                                        std::unique_ptr<BasePages> base = nullptr);
  ~SeedTarget();
  SeedTarget(const SeedTarget&) = delete;
  SeedTarget& operator=(const SeedTarget&) = delete;

  void OnConnected(Channel& channel, const std::string& source, base::SteadyTime now);
  void OnDisconnected(const std::string& cause, base::SteadyTime now);
  // SeedStart, SeedChunk, SeedEnd and Refused (of a SeedRequest); everything else is ignored.
  void OnMessage(Message&& message, base::SteadyTime now);
  RunResult RunOnce(base::SteadyTime now);  // bounded: a few MiB of chunks, or of log

  void SetTermKnown(base::Term term);
  void SetPagesElsewhere(bool elsewhere);
  bool has_start() const;  // of the seed under way
  // Of what is received, with others; borrowed; null: no limit. May be changed at any time.
  void SetRate(base::RateLimit* rate);
  // Gives up and removes the seed's files (never the database at `path`).
  void Cancel();

  const Status& status() const;
  // REQUIRES: kDone. The state of the new copy: its position is what replay starts from.
  const log::Checkpoint& checkpoint() const;
  void ReleaseHold();

 private:
  struct Core;
  explicit SeedTarget(std::unique_ptr<Core> core);
  const std::unique_ptr<Core> core_;
};

}  // namespace understudy::ship
