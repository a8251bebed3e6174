// SPDX-License-Identifier: Apache-2.0
#include "server/copy_host.h"

#include <utility>

#include "base/thread.h"
#include "base/thread_name.h"

namespace understudy::server {
namespace {

constexpr base::Duration kWaitMax = std::chrono::seconds(1);
// How often a copy that is changing its role is looked at.
constexpr base::Duration kLookAgain = std::chrono::milliseconds(5);

}  // namespace

CopyHost::CopyHost(const ServerContext& context, std::string data_dir)
    : context_(context), data_dir_(std::move(data_dir)) {
  thread_ = base::Thread([this] { Run(); });
}

CopyHost::~CopyHost() { Stop(); }

void CopyHost::Update(std::vector<cluster::DatabaseRecord> records) {
  {
    base::MutexLock lock(mutex_);
    newest_ = std::move(records);
  }
  signal_.Notify();
}

void CopyHost::RetryLinks() {
  {
    base::MutexLock lock(mutex_);
    retry_links_ = true;
  }
  signal_.Notify();
}

void CopyHost::DismountAll(base::Duration limit) {
  {
    base::MutexLock lock(mutex_);
    if (stop_) return;
    stop_ = true;
  }
  signal_.Notify();
  thread_.Join();
  Actives actives;
  {
    base::MutexLock lock(mutex_);
    actives = actives_;
  }
  // Another copy may be mounted while this daemon is not running: nobody shall write here then.
  for (const auto& [id, copy] : actives) {
    copy->BeginStop(copy->HasPeers() ? ActiveCopy::StopMode::kFence : ActiveCopy::StopMode::kLeave);
  }
  for (const auto& [id, copy] : actives) copy->Stop(ActiveCopy::StopMode::kFence);
  const base::SteadyTime end = context_.env.Now() + limit;
  for (const auto& [id, copy] : actives) copy->WaitShipped(end);
}

void CopyHost::Stop() {
  DismountAll(base::Duration(0));
  links_.clear();  // shuts the passive copies
  ending_links_.clear();
  ending_.clear();
  Actives retiring;
  {
    base::MutexLock lock(mutex_);
    actives_.clear();
    retiring.swap(retiring_);
    passives_.clear();
  }
  for (const auto& [id, copy] : retiring) copy->Stop(ActiveCopy::StopMode::kFence);
}

void CopyHost::Run() {
  base::NameThisThread("copies");
  while (true) {
    const uint64_t seen = signal_.count();
    std::optional<std::vector<cluster::DatabaseRecord>> records;
    bool retry = false;
    {
      base::MutexLock lock(mutex_);
      if (stop_) return;
      records.swap(newest_);
      retry = std::exchange(retry_links_, false);
    }
    if (records) records_ = std::move(*records);
    if (records || unsettled_) Reconcile(records_);
    std::erase_if(ending_links_, [](const auto& link) { return link->ended(); });
    std::erase_if(ending_, [](const auto& copy) { return copy->HooksDone(); });
    if (retry) {
      for (const auto& [peer, link] : links_) link->RetryNow();
    }
    LookAtCopies(context_.env.Now());
    signal_.WaitFor(seen, unsettled_ ? kLookAgain : kWaitMax);
  }
}

// --- any thread ---

std::vector<CopyHost::MountedCopy> CopyHost::Mounted() const {
  Actives actives;
  {
    base::MutexLock lock(mutex_);
    actives = actives_;
  }
  std::vector<MountedCopy> mounted;
  for (const auto& [id, copy] : actives) {
    const base::Result<Mount> mount = copy->mount();
    if (!copy->IsMountedNow() || !copy->HasPeers() || !mount.ok()) continue;
    mounted.push_back({copy->name(), id, mount->term});
  }
  return mounted;
}

std::shared_ptr<ActiveCopy> CopyHost::FindActive(base::DatabaseId id) const {
  base::MutexLock lock(mutex_);
  const auto found = actives_.find(id);
  return found == actives_.end() ? nullptr : found->second;
}

std::shared_ptr<ActiveCopy> CopyHost::FindActive(const std::string& name) const {
  base::MutexLock lock(mutex_);
  for (const auto& [id, copy] : actives_) {
    if (copy->name() == name) return copy;
  }
  return nullptr;
}

std::shared_ptr<PassiveCopy> CopyHost::FindPassive(const std::string& name) const {
  base::MutexLock lock(mutex_);
  for (const auto& [id, entry] : passives_) {
    if (entry.copy->name() == name) return entry.copy;
  }
  return nullptr;
}

std::shared_ptr<PassiveCopy> CopyHost::FindPassive(base::DatabaseId id) const {
  base::MutexLock lock(mutex_);
  const auto found = passives_.find(id);
  return found == passives_.end() ? nullptr : found->second.copy;
}

std::vector<CopyHost::Hosted> CopyHost::Copies() const {
  base::MutexLock lock(mutex_);
  std::vector<Hosted> copies;
  copies.reserve(actives_.size() + passives_.size());
  for (const auto& [id, copy] : actives_) copies.push_back({id, copy, nullptr});
  for (const auto& [id, entry] : passives_) {
    if (!actives_.contains(id)) copies.push_back({id, nullptr, entry.copy});
  }
  return copies;
}

std::optional<CopyHost::Hosted> CopyHost::FindCopy(base::DatabaseId id) const {
  base::MutexLock lock(mutex_);
  if (const auto found = actives_.find(id); found != actives_.end()) {
    return Hosted{id, found->second, nullptr};
  }
  if (const auto found = passives_.find(id); found != passives_.end()) {
    return Hosted{id, nullptr, found->second.copy};
  }
  return std::nullopt;
}

std::shared_ptr<ActiveCopy> CopyHost::WaitActive(base::DatabaseId id, base::Duration limit) {
  const base::SteadyTime end = context_.env.Now() + limit;
  base::MutexLock lock(mutex_);
  while (true) {
    if (const auto found = actives_.find(id); found != actives_.end()) return found->second;
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0) || stop_) return nullptr;
    changed_.WaitFor(mutex_, left);
  }
}

std::vector<CopyHost::LocalStatus> CopyHost::Statuses() const {
  Actives actives;
  Actives retiring;
  Passives passives;
  {
    base::MutexLock lock(mutex_);
    actives = actives_;
    retiring = retiring_;
    passives = passives_;
  }
  std::vector<LocalStatus> statuses;
  for (const Actives& copies : {actives, retiring}) {
    for (const auto& [id, copy] : copies) {
      statuses.push_back({copy->name(), id, copy->Status(), {}});
    }
  }
  for (const auto& [id, entry] : passives) {
    statuses.push_back({entry.copy->name(), id, entry.copy->Status(), entry.copy->ages()});
  }
  return statuses;
}

}  // namespace understudy::server
