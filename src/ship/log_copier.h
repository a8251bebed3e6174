// SPDX-License-Identifier: Apache-2.0
// LogCopier: the side of log shipping that receives (a passive copy); one per database copy.
//
// It subscribes at the exact part where its own log ends, inspects what arrives (inspector.h),
// appends it, syncs once per batch and acknowledges. A rejected part is discarded and asked for
// again, at most kAttemptsMax times without progress, then the copy is Failed with the whole
// reason; a Failed copy is re-checked every `recheck_interval`, unless failure() says that somebody
// must act:
//   kLogGap      the source no longer has our next record (or we have nothing): seed
//   kDiverged    we have records that the source has not, or others: resynchronise or seed
//   kFenced      the source is not the active any more: connect to the new one
//   kIoError, kNoSpace   our own log cannot be written: repair, open the LogStore anew, new
//   LogCopier
//
// The server connects (reconnect.h says when), calls OnConnected, hands in every message of this
// database and every Heartbeat, and calls OnDisconnected with the cause when the channel is gone.
// While a SeedTarget works on this copy: SeedBegin() first; the copier starts to copy as soon as
// the seed has given the log its start; SeedEnd() after.
//
// Invariants:
//   1. Nothing is acknowledged as durable that was not synced.
//   2. What waits to be appended never exceeds window_bytes; what comes beyond is discarded and
//      asked for again.
//   3. A record reaches the log only if the inspector found it to follow exactly (R1 to R4), with
//      our database's id and a term that is not below the highest one known.
//
// Threading: confined to one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "env/env.h"
#include "log/log_store.h"
#include "ship/copy_state.h"
#include "ship/messages.h"
#include "ship/run_result.h"

namespace understudy::ship {

class LogCopier {
 public:
  struct Options {
    base::DatabaseId database{};
    std::string database_name{};  // for messages
    uint64_t incarnation = 0;     // Subscribe::incarnation
    uint64_t window_bytes = kWindowBytesDefault;
    base::Duration recheck_interval = std::chrono::seconds(30);
    // Between attempts after a rejected part: doubled each time, up to the recheck interval.
    base::Duration retry_delay = std::chrono::milliseconds(200);
    // No answer to a Subscribe for this long counts as a rejected one.
    base::Duration answer_limit = std::chrono::seconds(15);
  };
  static constexpr int kAttemptsMax = 3;  // rejections without progress in between

  struct Counters {
    uint64_t parts = 0;
    uint64_t bytes = 0;
    uint64_t syncs = 0;
    uint64_t subscribes = 0;
    uint64_t disconnects = 0;
    uint64_t mode_switches = 0;
    uint64_t restarted_records = 0;   // parts dropped because the source began a record anew
    uint64_t stale_messages = 0;      // of an earlier Subscribe; ignored
    uint64_t rejected = 0;            // all of these:
    uint64_t rejected_malformed = 0;  // does not parse, flipped bytes
    uint64_t rejected_database = 0;
    uint64_t rejected_term = 0;
    uint64_t rejected_sequence = 0;
    uint64_t rejected_checksum = 0;  // of the chain
    uint64_t rejected_window = 0;    // more than we allowed
  };

  struct Status {
    CopyState state = CopyState::kInitializing;
    base::SteadyTime state_since{};
    bool connected = false;
    ShipMode mode = ShipMode::kFile;
    std::string source{};         // the server of the current or last connection
    std::string last_event{};     // why the last change of state happened
    base::Status failure{};       // of a Failed copy
    base::Position source_end{};  // as last told by the source
    base::WallTime source_end_time{};
    base::Term final_term{};  // Heartbeat::End::final_term, as last told
    base::Position received{};
    base::Position durable{};
    base::Position replayed{};
    uint64_t copy_queue = 0;    // records: source_end - durable
    uint64_t queued_bytes = 0;  // received, not in the log yet
    Counters counters;
  };

  // `env` and `log` are borrowed and must outlive this.
  LogCopier(env::Env& env, const Options& options, log::LogStore& log);
  ~LogCopier();
  LogCopier(const LogCopier&) = delete;
  LogCopier& operator=(const LogCopier&) = delete;

  // `channel` is borrowed until OnDisconnected. `source` is the name of the server at its end.
  void OnConnected(Channel& channel, const std::string& source, base::SteadyTime now);
  void OnDisconnected(const std::string& cause, base::SteadyTime now);
  // Parts, Refused (of a Subscribe) and Heartbeat; everything else is ignored.
  void OnMessage(Message&& message, base::SteadyTime now);
  RunResult RunOnce(base::SteadyTime now);

  // The highest term that this server knows (from the cluster); what is below it is rejected.
  void SetTermKnown(base::Term term);
  void SetReplayed(base::Position replayed);
  void Suspend(const std::string& reason, base::SteadyTime now);  // keeps what is in the log
  void Resume(base::SteadyTime now);
  void SeedBegin(base::SteadyTime now);
  void SeedEnd(base::SteadyTime now);

  const Status& status() const;
  const base::Status& failure() const { return status().failure; }

 private:
  struct Core;
  const std::unique_ptr<Core> core_;
};

}  // namespace understudy::ship
