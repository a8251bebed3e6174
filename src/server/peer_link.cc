// SPDX-License-Identifier: Apache-2.0
#include "server/peer_link.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "rpc/protocol.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kWaitMax = std::chrono::seconds(1);

}  // namespace

PeerLink::PeerLink(const ServerContext& context, const std::string& peer)
    : context_(context), peer_(peer), link_(context_, signal_) {
  link_.SetPeer(peer_);
  thread_ = base::Thread([this] { Run(); });
}

PeerLink::~PeerLink() {
  BeginStop();
  thread_.Join();
}

void PeerLink::BeginStop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  signal_->Notify();
}

void PeerLink::Add(std::shared_ptr<PassiveCopy> copy) {
  {
    base::MutexLock lock(mutex_);
    to_add_.push_back(std::move(copy));
  }
  signal_->Notify();
}

void PeerLink::Remove(const std::shared_ptr<PassiveCopy>& copy) {
  {
    base::MutexLock lock(mutex_);
    to_remove_.push_back(copy);
  }
  signal_->Notify();
  base::MutexLock lock(mutex_);
  while (std::find(to_remove_.begin(), to_remove_.end(), copy) != to_remove_.end()) {
    changed_.WaitFor(mutex_, kWaitMax);
  }
}

void PeerLink::RetryNow() {
  {
    base::MutexLock lock(mutex_);
    retry_now_ = true;
  }
  signal_->Notify();
}

bool PeerLink::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void PeerLink::Run() {
  base::NameThisThread("link-" + peer_);
  while (!stopping()) {
    const uint64_t seen = signal_->count();
    const base::SteadyTime now = context_.env.Now();
    ApplyChanges(now);
    if (!link_.connection() && !copies_.empty()) Connect(now);
    bool worked = link_.connection() && Receive(now);
    base::SteadyTime next = now + kWaitMax;
    if (!copies_.empty()) next = std::min(next, link_.next_attempt());
    for (const auto& [id, copy] : copies_) {
      const ship::RunResult result = copy->RunOnce(now);
      worked = worked || result.worked;
      next = std::min(next, result.next);
    }
    if (link_.connection()) {
      ship::RunResult watched;
      const std::optional<std::string> ended = link_.Watch(now, watched);
      next = std::min(next, watched.next);
      if (ended) Lost(*ended, now);
      worked = worked || ended;
    }
    if (!worked) signal_->WaitFor(seen, std::max<base::Duration>(next - now, base::Duration(0)));
  }
  for (const auto& [id, copy] : copies_) copy->Shut();
  {
    base::MutexLock lock(mutex_);
    to_remove_.clear();
    changed_.NotifyAll();
  }
  link_.AwaitAttempt();
  ended_ = true;
}

void PeerLink::ApplyChanges(base::SteadyTime now) {
  std::vector<std::shared_ptr<PassiveCopy>> add;
  std::vector<std::shared_ptr<PassiveCopy>> remove;
  {
    base::MutexLock lock(mutex_);
    add.swap(to_add_);
    remove = to_remove_;
    if (std::exchange(retry_now_, false)) link_.RetryNow();
  }
  for (std::shared_ptr<PassiveCopy>& copy : add) {
    if (link_.connection()) copy->OnConnected(*link_.connection(), peer_, now);
    copies_[copy->id()] = std::move(copy);
  }
  if (remove.empty()) return;
  for (const std::shared_ptr<PassiveCopy>& copy : remove) {
    copy->Shut();
    const auto found = copies_.find(copy->id());
    if (found != copies_.end() && found->second == copy) copies_.erase(found);
    if (link_.connection()) {
      ship::Message bye = ship::Unsubscribe{copy->id()};
      link_.connection()->TrySend(
          std::move(bye));  // if it does not fit, the source finds out by itself
    }
  }
  base::MutexLock lock(mutex_);
  std::erase_if(to_remove_, [&](const auto& copy) {
    return std::find(remove.begin(), remove.end(), copy) != remove.end();
  });
  changed_.NotifyAll();
}

void PeerLink::Connect(base::SteadyTime now) {
  const std::optional<base::Status> attempt = link_.Connect(now);
  if (!attempt) return;
  if (!attempt->ok()) {
    if (!std::exchange(was_lost_, true)) {
      context_.events.Add(EventNumber::kConnectionLost, Severity::kWarning, "",
                          fmt::format("no connection from {} to {}: {}", context_.server, peer_,
                                      attempt->message()));
    }
    return;
  }
  for (const auto& [id, copy] : copies_) copy->OnConnected(*link_.connection(), peer_, now);
  if (std::exchange(was_lost_, false)) {
    context_.events.Add(EventNumber::kConnectionRestored, Severity::kInfo, "",
                        fmt::format("{} is connected to {} again", context_.server, peer_));
  }
}

bool PeerLink::Receive(base::SteadyTime now) {
  return link_.Receive([&](ship::Message&& message) {
    const std::optional<base::DatabaseId> database = ship::DatabaseOf(message);
    if (!database) {
      for (const auto& [id, copy] : copies_) copy->OnMessage(ship::Message(message), now);
      return;
    }
    const auto found = copies_.find(*database);
    if (found != copies_.end()) found->second->OnMessage(std::move(message), now);
  });
}

void PeerLink::Lost(const std::string& cause, base::SteadyTime now) {
  for (const auto& [id, copy] : copies_) copy->OnDisconnected(cause, now);
  link_.Drop(cause, now);
  if (std::exchange(was_lost_, true)) return;
  context_.events.Add(
      EventNumber::kConnectionLost, Severity::kWarning, "",
      fmt::format("the connection from {} to {} was lost: {}", context_.server, peer_, cause));
}

}  // namespace understudy::server
