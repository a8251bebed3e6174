// SPDX-License-Identifier: Apache-2.0
// Scrubber: reads everything that one copy has, again and again, at a bounded rate, and has what is
// wrong repaired from another copy (docs/design/0011-scrubbing.md).
//
//   Idle -(due, or Start)-> pages 1..n -> generations of the log -> Idle
//
// What is wrong becomes a *finding*: told at once, repaired at once where another copy has the
// right content, otherwise tried again: after kRetryWaiting while some copy could not be asked,
// after kRetryFailed when all were. A finding ends when it is repaired, or when a commit has
// replaced the page, or truncation the generation. Nothing is ever written that is not proven by
// the hash on record or, for log, by the records around it.
//
// Where it has come to is saved, so that a restart goes on there. With more than kFindingsMax
// findings a pass stops: that is no longer a matter of single pages.
//
// Threading: confined to one thread. All references are borrowed. RunOnce does one step: a chunk, a
// generation or a repair. Units: bytes read, of pages and log.
#pragma once

#include <string>
#include <vector>

#include "base/rate_limit.h"
#include "env/env.h"
#include "scrub/copy_access.h"
#include "scrub/finding.h"

namespace understudy::scrub {

inline constexpr size_t kChunkBytes = 256 << 10;
inline constexpr base::Duration kRetryBusy = std::chrono::milliseconds(200);
inline constexpr base::Duration kRetryWaiting = std::chrono::seconds(3);
inline constexpr base::Duration kRetryFailed = std::chrono::minutes(5);
inline constexpr base::Duration kSaveInterval = std::chrono::seconds(10);
inline constexpr uint64_t kStateBytesMax = 4 << 20;

// Hears what happens, as it happens.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void OnFound(const Finding& finding) = 0;
  // `how`: "from s2", "by a newer commit".
  virtual void OnRepaired(const Finding& finding, const std::string& how) = 0;
  // Once for each finding, and again when its outcome changes.
  virtual void OnNotRepaired(const Finding& finding) = 0;
  virtual void OnStopped(const std::string& why) = 0;
};

class Scrubber {
 public:
  struct Options {
    std::string state_path;  // where it is saved
    base::Duration every{};  // 0: only when a person asks
  };
  struct RunResult {
    bool worked = false;  // call again as soon as the rate allows
    base::SteadyTime next = base::SteadyTime::max();
  };

  // Goes on where the state file says.
  Scrubber(env::Env& env, const Options& options, base::RateLimit& rate, CopyAccess& copy,
           OtherCopies& others, Listener& listener);
  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;

  RunResult RunOnce(base::SteadyTime now);
  // A whole pass from now on; findings are tried again at once.
  void Start();
  // A page that somebody else met and found to be wrong: looked at next.
  void Suspect(base::PageNo page);
  void SetEvery(base::Duration every) { every_ = every; }
  void Save();

  const ScrubState& state() const { return state_; }
  // As of the last look; 0: not known yet.
  uint32_t pages_total() const { return pages_total_; }
  uint32_t page_size() const { return page_size_; }
  // Something is being repaired, or waits for that.
  bool repairing() const;

 private:
  // When a finding is tried again, and how often the copy was in use then.
  struct Retry {
    base::SteadyTime at{};
    int busy = 0;
  };

  base::Duration UntilPass() const;
  void BeginPass(bool asked);
  void EndPass(const std::string& stopped);
  bool Step(base::SteadyTime now);
  bool LookAtSuspect(base::SteadyTime now);
  bool ScrubPages(base::SteadyTime now);
  bool ScrubGeneration(base::SteadyTime now);
  void AddFinding(Finding finding, base::SteadyTime now);
  void Add(const log::WrongPage& wrong, base::SteadyTime now);
  bool TryOne(base::SteadyTime now);
  void Try(size_t index, base::SteadyTime now);
  base::Status RepairPage(Finding& finding, std::string& how);
  base::Status RepairGeneration(const Finding& finding, std::string& how);
  bool NotNow(const base::Status& why, base::SteadyTime now);
  bool HasNew() const;

  env::Env& env_;
  const Options options_;
  base::RateLimit& rate_;
  CopyAccess& copy_;
  OtherCopies& others_;
  Listener& listener_;
  base::Duration every_;

  ScrubState state_;
  std::vector<Retry> retries_;  // of state_.findings
  std::vector<base::PageNo> suspects_;
  uint32_t pages_total_ = 0;
  uint32_t page_size_ = 0;
  base::SteadyTime not_before_{};  // after the copy said "not now"
  base::SteadyTime next_save_{};
  bool changed_ = false;
};

}  // namespace understudy::scrub
