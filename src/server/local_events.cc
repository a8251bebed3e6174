// SPDX-License-Identifier: Apache-2.0
#include "server/local_events.h"

#include "base/diag.h"

namespace understudy::server {

void LocalEvents::Keep(const std::vector<cluster::Event>& events) {
  if (events.empty()) return;
  std::vector<std::string> payloads;
  for (cluster::Event event : events) {
    Shorten(event);
    payloads.push_back(ToJson(event));
  }
  base::MutexLock lock(mutex_);
  if (ring_ == nullptr && env_.Now() < next_open_) return;
  const base::Status kept = Append(payloads);
  if (kept.ok()) return;
  ring_.reset();
  next_open_ = env_.Now() + kOpenAgain;
  base::Diag(base::DiagLevel::kWarning, "event", "this server's own events are not kept",
             {{"why", kept.ToString()}});
}

base::Status LocalEvents::Append(const std::vector<std::string>& payloads) {
  if (ring_ == nullptr) {
    ASSIGN_OR_RETURN(ring_, cluster::EventRing::Open(env_, cluster::EventRingPath(data_dir_)));
  }
  return ring_->Append(payloads);
}

base::Result<std::vector<cluster::Event>> LocalEvents::Read() const {
  base::MutexLock lock(mutex_);
  return cluster::ReadEventRing(env_, data_dir_);
}

}  // namespace understudy::server
