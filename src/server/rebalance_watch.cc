// SPDX-License-Identifier: Apache-2.0
#include "server/rebalance_watch.h"

#include <fmt/format.h>

#include "base/thread.h"
#include "base/thread_name.h"

namespace understudy::server {
namespace {

constexpr base::Duration kLookInterval = std::chrono::seconds(1);

}  // namespace

RebalanceWatch::RebalanceWatch(const ServerContext& context, Admin& admin)
    : context_(context), admin_(admin), since_(context.env.Now()) {
  thread_ = base::Thread([this] { Run(); });
}

RebalanceWatch::~RebalanceWatch() { Stop(); }

void RebalanceWatch::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
}

void RebalanceWatch::Run() {
  base::NameThisThread("rebalance");
  while (true) {
    Look(context_.env.Now());
    base::MutexLock lock(mutex_);
    if (!stop_) changed_.WaitFor(mutex_, kLookInterval);
    if (stop_) return;
  }
}

void RebalanceWatch::Look(base::SteadyTime now) {
  const base::Result<cluster::GroupRecord> group = context_.registry.Group();
  if (!group.ok()) return;  // the cluster thread tells of a coordinator that does not answer
  const base::Result<std::string> manager = context_.registry.Manager();
  const bool ours = manager.ok() && *manager == context_.server;
  if (!ours || group->paused || group->rebalance_every.count() == 0) since_ = now;
  if (now - since_ < group->rebalance_every || since_ == now) return;
  since_ = now;
  const auto moves = admin_.MoveToPreferred("", /*dry_run=*/false, /*by_person=*/false);
  if (!moves.ok()) return;
  for (const v1::RebalanceResponse::Move& move : moves->moves()) {
    if (!move.failed()) {
      told_.erase(move.database());
      continue;
    }
    if (std::exchange(told_[move.database()], move.verdict()) == move.verdict()) continue;
    context_.events.Add(
        cluster::EventNumber::kRebalanceFailed, cluster::Severity::kWarning, move.database(),
        fmt::format("{} could not be moved from {} to {}, which has the lower activation "
                    "preference: {}",
                    move.database(), move.from(), move.to(), move.verdict()));
  }
}

}  // namespace understudy::server
