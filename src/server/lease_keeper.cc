// SPDX-License-Identifier: Apache-2.0
#include "server/lease_keeper.h"

#include <utility>

#include "base/diag.h"
#include "base/planted.h"
#include "base/thread_name.h"
#include "server/group_tls.h"

namespace understudy::server {
namespace {

constexpr base::Duration kRetry = std::chrono::milliseconds(100);

}  // namespace

LeaseKeeper::~LeaseKeeper() { Stop(/*end_lease=*/false); }

base::Status LeaseKeeper::Start(cluster::ServerRecord self) {
  self_ = std::move(self);
  RETURN_IF_ERROR(Keep());
  thread_ = base::Thread([this] { Run(); });
  return {};
}

void LeaseKeeper::Stop(bool end_lease) {
  {
    base::MutexLock lock(mutex_);
    if (std::exchange(stop_, true)) return;
  }
  wake_.Notify();
  if (thread_.joinable()) thread_.Join();
  if (end_lease && lease_ != 0) {
    // If the coordinator is away, the lease ends by itself.
    context_.registry.coordinator().RevokeLease(lease_).IgnoreError();
  }
}

bool LeaseKeeper::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void LeaseKeeper::Run() {
  base::NameThisThread("lease");
  while (!stopping()) {
    const uint64_t seen = wake_.count();
    const base::SteadyTime now = context_.env.Now();
    if (now < next_) {
      wake_.WaitFor(seen, next_ - now);
      continue;
    }
    const base::Status kept = Keep();
    if (kept.ok()) {
      last_error_.clear();
      continue;
    }
    if (std::exchange(last_error_, kept.message()) != kept.message()) {
      base::Diag(base::DiagLevel::kWarning, "cluster", "this server's lease was not renewed",
                 {{"why", kept.ToString()}});
    }
    wake_.WaitFor(seen, kRetry);
  }
}

base::Status LeaseKeeper::Keep() {
  if (context_.tls != nullptr && context_.tls->was_removed()) {
    return base::Fenced("this server was removed from the group");
  }
  const base::SteadyTime began = context_.env.Now();
  const base::Duration ttl = context_.settings.Get().coordinator.lease;
  const base::SteadyTime until =
      began + ttl + std::chrono::seconds(PLANTED("lease-kept-too-long") ? 10 : 0);
  cluster::Coordinator& coordinator = context_.registry.coordinator();
  if (lease_ != 0) {
    const base::Status kept = coordinator.KeepAlive(lease_);
    if (kept.code() == base::Code::kNotFound) {
      base::Diag(base::DiagLevel::kWarning, "cluster",
                 "this server's lease had ended; taking a new one",
                 {{"lease", lease_.load()}, {"ttl_ms", ttl / std::chrono::milliseconds(1)}});
      Lost();
    } else {
      RETURN_IF_ERROR(kept);
    }
  }
  if (lease_ == 0) {
    ASSIGN_OR_RETURN(const cluster::LeaseId granted, coordinator.GrantLease(ttl));
    lease_ = granted;
  }
  if (!announced_) {
    RETURN_IF_ERROR(context_.registry.AnnounceServer(self_, lease_));
    announced_ = true;
  }
  Extend(until);
  next_ = began + ttl / 3;
  return {};
}

void LeaseKeeper::Extend(base::SteadyTime until) {
  base::MutexLock lock(mutex_);
  until_ = until;
  if (read_under_ == lease_) context_.authority.Extend(until);
}

void LeaseKeeper::Lost() {
  base::MutexLock lock(mutex_);
  lease_ = 0;
  announced_ = false;
  read_under_ = 0;
  until_ = {};
  context_.authority.Withdraw();
}

void LeaseKeeper::Read(cluster::LeaseId lease) {
  base::MutexLock lock(mutex_);
  if (lease == 0 || lease != lease_ || read_under_ == lease) return;
  read_under_ = lease;
  context_.authority.Extend(until_);
}

}  // namespace understudy::server
