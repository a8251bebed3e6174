// SPDX-License-Identifier: Apache-2.0
// When the active copy runs an administrator's hooks, and what it does meanwhile.
#include <utility>

#include "server/active_copy.h"

namespace understudy::server {
namespace {

// How often a copy that waits for a hook looks whether it may still be mounted.
constexpr base::Duration kLookMax = std::chrono::milliseconds(100);

}  // namespace

HookFacts ActiveCopy::Facts(const std::string& reason) const {
  base::MutexLock lock(mutex_);
  const bool open = mount_.log != nullptr;
  return {mount_.term, open ? mount_.log->end().position : base::Position(), reason};
}

// A person may give a switchover any reason.
std::string ActiveCopy::MountReason() const {
  if (move_reason_.empty()) return "mount";
  return move_reason_ == "failover" ? "failover" : "switchover";
}

std::string ActiveCopy::DismountReason() const {
  base::MutexLock lock(mutex_);
  if (stop_) return "stop";
  if (!wanted_) return "administrator";
  if (moved_) return "switchover";
  if (context_.env.Now() < relinquished_until_) return "failover";
  return "lease";
}

// Its veto, or kCancelled: the copy may not be mounted any more. Hooks that were started before are
// waited for, so that this one's end is known.
base::Status ActiveCopy::AskPreMount(base::Position end) {
  if (!hooks_.Has(HookKind::kPreMount)) return {};
  bool asked = false;
  while (true) {
    const uint64_t seen = signal_.count();
    if (!MayBeMounted(context_.authority.margin())) return base::Cancelled(WhyNotMounted());
    if (hooks_.done()) {
      if (asked) return hooks_.Finish();
      asked = hooks_.Start(HookKind::kPreMount, {end.term, end, MountReason()});
      if (!asked) return {};  // it was taken out of the configuration
    }
    tasks_.RunAll(nullptr);
    moves_.RunAll(nullptr);
    signal_.WaitFor(seen, kLookMax);
  }
}

void ActiveCopy::TellMounted(const std::string& reason) {
  told_of_dismount_ = false;
  hooks_.Start(HookKind::kPostMount, Facts(reason));
}

// While it runs the database is followed and can be written. A dismount in time before the end of
// the lease matters more.
base::Status ActiveCopy::TellPreDismount(const std::string& reason) {
  if (std::exchange(told_of_dismount_, true)) return {};
  if (!hooks_.Start(HookKind::kPreDismount, Facts(reason))) return {};
  while (!hooks_.done()) {
    if (!HasLease(context_.authority.margin())) {
      return base::Unavailable("this server's lease is about to end");
    }
    ASSIGN_OR_RETURN(const bool more, Follow());
    if (!more && !hooks_.done()) AwaitWork();
  }
  return hooks_.Finish();
}

}  // namespace understudy::server
