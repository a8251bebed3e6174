// SPDX-License-Identifier: Apache-2.0
// SeedSource: sends a whole database to one peer, in chunks of pages, while it is being written.
//
// Every chunk is exact at its own position; the log from SeedStart.start on turns them into one
// state (seed_target.h). There is no state here that a resume needs: chunk boundaries are fixed, so
// after a cut a new SeedSource, on this or another server, goes on from SeedRequest.next_chunk.
//
//   kIdle -SeedRequest-> kStarting -SeedStart sent-> kChunks -last chunk sent-> kEnding -SeedEnd
//   sent-> kWaiting -all chunks acknowledged-> kDone;   (any) -error, Refused sent-> kFailed
//   A further SeedRequest starts over from its next_chunk in every state.
//   kStarting -SeedStart sent, to a request for the start only-> kHolding -the log copier's hold
//   exists-> kDone
//
// A passive copy (Options::passive) gives pages only, of seeds whose start the active copy has
// told: it keeps no log for them, and sends no page of before the start. What it cannot do now it
// refuses as kUnavailable: it is never the one to say that the seed is wrong.
//
// On the active copy the log from `start` on is kept by the hold HoldName(peer). It is released
// once all chunks are acknowledged and the log copier's own hold exists; not when this object goes,
// so that the seed can be resumed: the server releases it when the peer has not come back for too
// long.
//
// When the target has pages already (SeedRequest.base_page_size), each chunk waits for the target's
// hashes of its pages, and only pages that differ are sent.
//
// Memory: two chunks, and hashes of kSeedHashesAheadMax chunks. Threading: confined to one thread.
#pragma once

#include <memory>
#include <string>

#include "base/rate_limit.h"
#include "env/env.h"
#include "ship/messages.h"
#include "ship/page_source.h"
#include "ship/run_result.h"

namespace understudy::ship {

class SeedSource {
 public:
  struct Options {
    base::DatabaseId database{};
    std::string database_name{};  // for messages
    std::string peer{};           // the server that is seeded
    base::Term term{};            // of our mount; of a passive copy: the newest that it knows
    bool passive = false;         // ours is a passive copy
    size_t chunk_bytes = kSeedChunkBytesMax;
    int zstd_level = 1;
    base::RateLimit* rate = nullptr;  // of what is sent, with others; borrowed; null: no limit
  };
  enum class State { kIdle, kStarting, kHolding, kChunks, kEnding, kWaiting, kDone, kFailed };

  struct Status {
    State state = State::kIdle;
    uint64_t seed_id = 0;
    uint32_t chunks = 0;           // in all
    uint32_t chunks_sent = 0;      // next one to send
    uint32_t chunks_durable = 0;   // at the peer
    uint64_t page_bytes_done = 0;  // durable at the peer, before compression
    uint64_t page_bytes_total = 0;
    uint64_t bytes_sent = 0;  // after compression, by this object
    uint64_t in_flight_bytes = 0;
    base::Status failure{};

    // Pages are still to go to the peer.
    bool under_way() const {
      if (state == State::kWaiting) return chunks_durable < chunks;
      return state == State::kStarting || state == State::kChunks || state == State::kEnding;
    }
  };

  // All borrowed, and must outlive this.
  SeedSource(env::Env& env, const Options& options, log::LogStore& log, PageSource& pages,
             Channel& channel);
  ~SeedSource();
  SeedSource(const SeedSource&) = delete;
  SeedSource& operator=(const SeedSource&) = delete;

  // SeedRequest, SeedHashes and SeedAck of this database; everything else is ignored.
  void OnMessage(Message&& message, base::SteadyTime now);
  RunResult RunOnce(base::SteadyTime now);  // at most about one chunk read, compressed, sent

  // As LogSource::fenced_by.
  std::optional<base::Term> fenced_by() const;
  const Status& status() const;

  static std::string HoldName(std::string_view peer);  // "seeding of s3"

 private:
  struct Core;
  const std::unique_ptr<Core> core_;
};

}  // namespace understudy::ship
