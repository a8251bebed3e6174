// SPDX-License-Identifier: Apache-2.0
// ScrubService: scrubs the copies on this server (docs/design/0011-scrubbing.md): one Scrubber
// each, all on the thread "scrub", all within the one rate scrub.rate.
//
// It decides nothing about copies: it looks at what the CopyHost has once in a while, tells what is
// found and repaired as events, and asks a passive copy that is beyond single pages to be
// resynchronised. Threading: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/rate_limit.h"
#include "base/thread.h"
#include "rpc/signal.h"
#include "scrub/scrubber.h"
#include "server/context.h"
#include "server/copy_host.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

class ScrubService {
 public:
  // Findings that a status tells of.
  static constexpr size_t kFindingsTold = 20;
  static constexpr base::Duration kStartLimit = std::chrono::seconds(5);

  ScrubService(const ServerContext& context, const CopyHost& host);
  ~ScrubService();  // as Stop
  ScrubService(const ScrubService&) = delete;
  ScrubService& operator=(const ScrubService&) = delete;
  // Where each scrub has come to is saved.
  void Stop();

  // A whole pass over the copy that is here, from now on: when it began. kUnavailable when it is
  // switched off (scrub.rate) or there is no copy.
  base::Result<base::WallTime> Start(base::DatabaseId id) EXCLUDES_LOCK(mutex_);
  v1::ScrubStatus Status(base::DatabaseId id) const EXCLUDES_LOCK(mutex_);

 private:
  class Reporter;
  // One copy. The members look at those before them.
  struct Entry {
    CopyHost::Hosted copy;
    std::unique_ptr<scrub::CopyAccess> access;
    std::unique_ptr<scrub::OtherCopies> others;
    std::unique_ptr<Reporter> reporter;
    std::unique_ptr<scrub::Scrubber> scrubber;
    base::SteadyTime next{};
  };
  using Entries = std::map<base::DatabaseId, Entry>;

  void Run();
  void FollowCopies();
  Entry Open(const CopyHost::Hosted& copy);
  void Close(Entry& entry);
  void TakeRequests();
  bool RunEntries(base::SteadyTime& next);
  void Publish(const Entry& entry) EXCLUDES_LOCK(mutex_);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  const CopyHost& host_;
  rpc::Signal signal_;
  base::RateLimit rate_;

  // Used by the thread only.
  Entries entries_;
  base::SteadyTime next_look_{};

  mutable base::Mutex mutex_;
  base::CondVar answered_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::set<base::DatabaseId> requests_ GUARDED_BY(mutex_);
  std::map<base::DatabaseId, v1::ScrubStatus> statuses_ GUARDED_BY(mutex_);

  base::Thread thread_;
};

}  // namespace understudy::server
