// SPDX-License-Identifier: Apache-2.0
// LogSource: the side of log shipping that has the log (the active copy); one per database and
// channel.
//
// It answers a Subscribe by checking where the copier stands, then sends what follows: from the
// log's files while the copier is behind (file mode), as it becomes durable once it has caught up
// (block mode; back to file mode when window or channel made it fall behind). Only durable log is
// sent. Everything a peer says is checked; what cannot be right is answered by Refused.
//
//            Subscribe ok                     Subscribe refused, bad Ack, log cannot be read
//   kIdle ----------------> kSending       (any) ----------------------------------> kRefused
//     ^   Unsubscribe           |  ^                                                    |
//     +-------------------------+  +------------- Subscribe ok -------------------------+
//
// Invariants:
//   1. At most window_bytes are sent and not acknowledged as consumed.
//   2. From an accepted Subscribe on the log holds, under HoldName(peer), what the peer has not
//      acknowledged as durable. The hold stays when this object goes: the server re-creates it at
//      start for every known copy and releases it when a copy is removed.
//   3. Parts are sent in order, each once, from the first one that the copier lacks.
//
// Memory: one Parts message (kPartsBytesMax). Threading: confined to one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "ship/messages.h"
#include "ship/run_result.h"

namespace understudy::ship {

class LogSource {
 public:
  struct Options {
    base::DatabaseId database{};
    std::string database_name{};  // for messages
    std::string peer{};           // the server that copies
    base::Term term{};            // of the mount of our copy
  };
  enum class State { kIdle, kSending, kRefused };

  struct Status {
    State state = State::kIdle;
    ShipMode mode = ShipMode::kFile;
    base::Position sent{};      // last complete record handed to the channel
    base::Position received{};  // as the peer acknowledged
    base::Position durable{};
    base::Position replayed{};
    uint64_t window_bytes = 0;
    uint64_t in_flight_bytes = 0;  // sent, not consumed yet
    uint64_t bytes_sent = 0;       // of parts, since this object was made
    uint64_t messages_sent = 0;
    uint64_t subscribes = 0;
    uint64_t mode_switches = 0;
    base::Status last_refusal{};  // why, ok when never
  };

  // `log` and `channel` are borrowed and must outlive this.
  LogSource(const Options& options, log::LogStore& log, Channel& channel);
  ~LogSource();
  LogSource(const LogSource&) = delete;
  LogSource& operator=(const LogSource&) = delete;

  // Subscribe, Unsubscribe and Ack of this database; everything else is ignored.
  void OnMessage(Message&& message, base::SteadyTime now);
  // Sends up to about kRunBytesMax.
  RunResult RunOnce(base::SteadyTime now);
  static constexpr size_t kRunBytesMax = 4 << 20;

  // A peer knew a term higher than ours: our copy must be dismounted (kFenced to its users).
  std::optional<base::Term> fenced_by() const;
  const Status& status() const;

  static std::string HoldName(std::string_view peer);  // "passive s3"
  // The hold of a copy that has `durable`, for the server to re-create at start.
  static log::Hold HoldFor(std::string_view peer, base::Position durable);

 private:
  struct Core;
  const std::unique_ptr<Core> core_;
};

}  // namespace understudy::ship
