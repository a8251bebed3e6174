// SPDX-License-Identifier: Apache-2.0
// What servers say to each other while they ship log: plain structs, and the Channel that carries
// them.
//
// One channel per pair of servers carries all databases. The server with the passive copy (the log
// copier) opens it and asks; the server with the active copy answers. The pages of a seed may come
// from another passive copy instead, over a channel of their own (SeedRequest). rpc/ translates
// these structs to protobuf (proto/understudy/v1/replication.proto) and nothing else; tests use an
// in-process Channel.
//
// copier -> source: Subscribe, Unsubscribe, Ack, SeedRequest, SeedHashes, SeedAck, Heartbeat
// source -> copier: Parts, Refused, SeedStart, SeedChunk, SeedEnd, Heartbeat
//
// Requests: the copier numbers every Subscribe and every SeedRequest of a database (each kind
// counts up on its own, from 1), and all that belongs to it carries that number. So what was still
// on the wire when the copier asked anew is recognised and ignored. Flow control: a source never
// has more than window_bytes unacknowledged. Parts count the sum of their parts' lengths, a
// SeedChunk the length of pages_zstd; consumed_bytes counts them up from 0 for each request. Of
// SeedHashes no more than kSeedHashesAheadMax are under way: a target announces chunk n once it has
// received all chunks up to n - kSeedHashesAheadMax.
// Threading: values. Channel: thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "log/log_store.h"

namespace understudy::ship {

enum class ShipMode {
  kFile,
  kBlock
};  // fed from log files while behind; as captured once caught up

// No message holds more than this, and a receiver refuses what exceeds it before keeping any of it.
inline constexpr size_t kMessageBytesTarget = 512 << 10;  // a source ends a Parts message here …
inline constexpr size_t kPartsBytesMax =
    kMessageBytesTarget + log::kPartBytesMax;   // … but never splits a part
inline constexpr size_t kPartsCountMax = 8192;  // in one Parts message
inline constexpr size_t kRefusedMessageBytesMax = 4096;
inline constexpr size_t kHeartbeatEndsMax = 4096;
// A window must let the largest single part through, and bounds what a copier may have to hold.
inline constexpr uint64_t kWindowBytesMin = kPartsBytesMax;
inline constexpr uint64_t kWindowBytesDefault = 8 << 20;
inline constexpr uint64_t kWindowBytesMax = 256 << 20;
// Page images in one SeedChunk, before compression; its zstd frame may be a little longer.
inline constexpr size_t kSeedChunkBytesMax = 1 << 20;
inline constexpr size_t kSeedChunkZstdBytesMax = kSeedChunkBytesMax + (64 << 10);
inline constexpr uint32_t kSeedChunkPagesMax = kSeedChunkBytesMax / log::kPageSizeMin;
// Chunks whose hashes a source keeps: at most 16 KiB each, for pages of 512 bytes.
inline constexpr uint32_t kSeedHashesAheadMax = 32;

// "Send me what follows." Sent on connecting, after a refused record (the inspector asks again),
// after a seed. Answered by Parts (an empty one at once: "position accepted") or by Refused.
struct Subscribe {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t incarnation = 0;  // the copy's in the registry: one that was removed is not served
  base::Term term_known{};   // the highest term this server has seen; a source below it is fenced
  log::LogEnd have{};        // last complete record that is durable here, with its checksum
  uint32_t incomplete_parts = 0;     // parts of the following record already durable here …
  uint32_t incomplete_last_crc = 0;  // … and the CRC of the last of them
  uint64_t window_bytes = 0;         // how many unacknowledged bytes the source may send
};
struct Unsubscribe {
  base::DatabaseId database{};
};
// Cumulative. Positions are of complete records.
struct Ack {
  base::DatabaseId database{};
  uint64_t request = 0;  // the Subscribe that it goes with
  base::Position received{};
  base::Position durable{};
  base::Position replayed{};
  uint64_t consumed_bytes = 0;  // of Parts since Subscribe; gives the window back
};
// Parts of one generation, in order; none when it only tells source_end. Each part says its number
// within its record: part 0 of the record that the copier holds incompletely means that this record
// begins anew (the copier drops the parts it holds).
struct Parts {
  base::DatabaseId database{};
  uint64_t request = 0;  // the Subscribe that it answers
  base::Generation generation{};
  ShipMode mode = ShipMode::kFile;
  std::vector<base::Bytes> parts{};
  // Of the source's mount: its authority. The parts may be history of lower terms.
  base::Term source_term{};
  base::Position source_end{};       // the source's durable end, for the copy queue
  base::WallTime source_end_time{};  // its commit time
};
struct Refused {
  base::DatabaseId database{};
  bool seed = false;     // answers a SeedRequest, otherwise a Subscribe
  uint64_t request = 0;  // which one; 0: the connection itself (an unknown database, …)
  base::Code code =
      base::Code::kInternal;  // kFenced, kLogGap (seed needed), kDiverged, kNotFound, …
  std::string message{};
  base::Term term{};  // the refuser's
};
// "Seed me", or, with seed_id != 0, "go on with that seed": then the layout is what its SeedStart
// said, and `have` is how far this copy's log goes (from SeedStart.start on without a gap). Chunk n
// always covers pages n * chunk_pages + 1 .. (n + 1) * chunk_pages, so any source can go on.
// Answered by SeedStart (new seeds only), then chunks, then SeedEnd; or by Refused.
// A copy that takes its pages from another passive copy asks the active one for the start only:
// that one answers with SeedStart and keeps the log from there on. Then it asks the passive copy to
// go on with that seed, at chunk 0. With a base whose pages are of the seed's size (a resync) the
// source sends chunk n only after the SeedHashes of chunk n have come, and without the pages that
// they say are here already.
struct SeedRequest {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t incarnation = 0;  // as in Subscribe
  base::Term term_known{};   // as in Subscribe
  uint64_t seed_id = 0;      // 0 for a new one
  uint32_t next_chunk = 0;
  uint32_t page_size = 0;
  uint32_t pages = 0;
  uint32_t chunk_pages = 0;
  log::LogEnd have{};
  uint64_t window_bytes = 0;
  uint32_t base_page_size = 0;  // of the pages that are here already; 0: none are
  bool start_only = false;      // of a new seed: SeedStart, and no chunk
};
struct SeedStart {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t seed_id = 0;
  uint32_t page_size = 0;
  uint32_t pages = 0;  // when the seed began; chunks cover 1..pages
  uint32_t chunk_pages = 0;
  log::LogEnd start{};  // the log must be applied from here on
};
// What the target has of the pages of a chunk: chunk after chunk, from SeedRequest.next_chunk on.
struct SeedHashes {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t seed_id = 0;
  uint32_t chunk = 0;
  std::vector<uint64_t> hashes{};  // log::HashPage of its first pages; the others are not here
};
// Pages first_page.., read in one read transaction at position `at`; a later chunk may be at a
// later position. Entries of records <= at are already in these pages.
struct SeedChunk {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t seed_id = 0;
  uint32_t chunk = 0;
  base::PageNo first_page{};
  uint32_t page_count = 0;  // pages that have vanished since the seed began are left out at the end
  base::Position at{};
  // Bit i % 8 of byte i / 8 is set when page first_page + i is what the target's hash said, and its
  // image is left out; no bytes when no image is.
  base::Bytes unchanged{};
  base::Bytes pages_zstd{};  // the other pages' images, one zstd frame; empty when there are none
  uint64_t hash = 0;         // XXH3-64 of the uncompressed images

  bool IsUnchanged(uint32_t index) const {
    return index / 8 < unchanged.size() && (unchanged[index / 8] >> (index % 8) & 1) != 0;
  }
  uint32_t images() const;  // how many pages_zstd has
};
struct SeedAck {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t seed_id = 0;
  uint32_t next_chunk = 0;  // chunks before this are durable here
  uint64_t consumed_bytes = 0;
};
struct SeedEnd {
  base::DatabaseId database{};
  uint64_t request = 0;
  uint64_t seed_id = 0;
  log::LogEnd at{};  // once the copy has replayed this far its checksum must be at.checksum
};
// Sent when nothing else was for a while, so that a dead peer and a half-open connection are
// noticed.
struct Heartbeat {
  uint64_t count = 0;
  // Of each database of this channel, the source's end (for copy queues while idle).
  struct End {
    base::DatabaseId database{};
    base::Position position{};
    base::WallTime time{};
    // Not zero: the source's copy is dismounted, and its mount in this term ended at `position`. In
    // that term nothing will ever follow.
    base::Term final_term{};
  };
  std::vector<End> ends{};
};

using Message = std::variant<Subscribe, Unsubscribe, Ack, Parts, Refused, SeedRequest, SeedStart,
                             SeedHashes, SeedChunk, SeedAck, SeedEnd, Heartbeat>;

// What a message counts in queues; about its length on the wire.
size_t MessageBytes(const Message& message);
// The database it concerns; nothing for a Heartbeat, which concerns the channel.
std::optional<base::DatabaseId> DatabaseOf(const Message& message);
// Whether a SeedSource (true) or a LogSource (false) answers what a copier sent; the same for what
// a source sent, and a SeedTarget or LogCopier.
bool IsOfSeed(const Message& message);
// Of the copy that asks, in a Subscribe or SeedRequest; nothing for others.
std::optional<uint64_t> IncarnationOf(const Message& message);
// "Subscribe", "Parts", … for diagnostics.
std::string_view MessageName(const Message& message);
// Refuses (kInvalidArgument, naming field and limit) a message that no correct peer sends. rpc/
// calls it on every message it has received, before anybody keeps it.
base::Status CheckMessage(const Message& message);

// One end of a connection between two servers. Bounded: TrySend is false when the queue to the wire
// is full (try again in a later RunOnce) or the connection is gone (closed() tells). Messages
// arrive in order, except that a Heartbeat may overtake others, and an earlier Heartbeat may be
// left out.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual bool TrySend(Message&& message) = 0;
  virtual bool closed() const = 0;
  // Grows with everything that comes in, also of a message that is not complete yet.
  virtual uint64_t heard() const = 0;
  virtual void Close() = 0;
};

}  // namespace understudy::ship
