// SPDX-License-Identifier: Apache-2.0
// LocalEvents: the newest events of this server on its own disk, for those who ask while the
// coordinator is away, after a restart, or when nothing runs any more (understudy events --from).
//
// Events are reports, no data: what cannot be written is said in the diagnostics, and writing is
// tried anew with a ring opened again a minute later. Threading: thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cluster/event_ring.h"
#include "env/env.h"

namespace understudy::server {

class LocalEvents {
 public:
  static constexpr base::Duration kOpenAgain = std::chrono::minutes(1);

  // `data_dir` exists. Nothing is opened yet.
  LocalEvents(env::Env& env, std::string data_dir) : env_(env), data_dir_(std::move(data_dir)) {}

  // On disk when it returns, unless the diagnostics say why not.
  void Keep(const std::vector<cluster::Event>& events) EXCLUDES_LOCK(mutex_);
  // Oldest first.
  base::Result<std::vector<cluster::Event>> Read() const EXCLUDES_LOCK(mutex_);

 private:
  base::Status Append(const std::vector<std::string>& payloads) REQUIRES_LOCK(mutex_);

  env::Env& env_;
  const std::string data_dir_;
  mutable base::Mutex mutex_;
  std::unique_ptr<cluster::EventRing> ring_ GUARDED_BY(mutex_);
  base::SteadyTime next_open_ GUARDED_BY(mutex_){};
};

}  // namespace understudy::server
