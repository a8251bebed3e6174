// SPDX-License-Identifier: Apache-2.0
// The inside of LogCopier (log_copier.h): log_copier.cc has its states, connection and messages,
// log_copier_work.cc the work of RunOnce.
// Threading: confined to one thread.
#pragma once

#include <deque>
#include <string>

#include "ship/inspector.h"
#include "ship/log_copier.h"

namespace understudy::ship {

// How far a log goes, for telling progress from a loop.
struct Extent {
  base::Seq seq{};
  uint32_t parts = 0;
  auto operator<=>(const Extent&) const = default;
};

// Our own log cannot be written: only opening it anew helps.
inline bool IsBroken(base::Code code) {
  return code == base::Code::kIoError || code == base::Code::kNoSpace;
}

struct LogCopier::Core {
  struct Queued {
    base::Generation generation;
    base::Bytes bytes;
  };

  Core(env::Env& e, const Options& o, log::LogStore& l);

  void Move(CopyEvent event, const std::string& why, base::SteadyTime now);
  void StartAsking(base::SteadyTime at);
  void StopAsking();
  void Reject(Rejection rejection, const base::Status& why, base::SteadyTime now);
  void AskAgain(const base::Status& why, base::SteadyTime now);
  void GiveUp(const base::Status& why, base::SteadyTime now);
  void OnParts(Parts&& message, base::SteadyTime now);
  void OnRefused(const Refused& message, base::SteadyTime now);
  void RaiseSourceEnd(base::Position end, base::WallTime time);
  void RefreshEnds();
  bool MayAsk() const;
  RunResult Run(base::SteadyTime now);
  void Ask(base::SteadyTime now, RunResult& result);
  base::Status AppendOne(const Queued& queued, base::SteadyTime now);
  void AppendQueue(base::SteadyTime now, RunResult& result);
  void SendAck(base::SteadyTime now, RunResult& result);
  void CheckTimes(base::SteadyTime now, RunResult& result);
  Extent extent() const;

  env::Env& env;
  const Options options;
  log::LogStore& log;
  Status status;
  Channel* channel = nullptr;
  base::Term term_known;
  base::Term source_term;  // as the Parts of `request` say

  uint64_t request = 0;         // of the last Subscribe
  bool want_subscribe = false;  // ask (again) at ask_at
  bool subscribed = false;      // Parts of `request` are welcome
  bool accepted = false;        // … and the source has answered
  base::SteadyTime ask_at;
  base::SteadyTime answer_due;
  bool want_unsubscribe = false;

  std::deque<Queued> queue;  // bounded by window_bytes
  uint64_t consumed_bytes = 0;
  bool ack_due = false;
  base::SteadyTime replayed_ack_at = base::SteadyTime::max();

  int attempts = 0;    // rejections since the log last grew beyond …
  Extent rejected_at;  // … where the last one happened
  base::SteadyTime recheck_at = base::SteadyTime::max();
};

}  // namespace understudy::ship
