// SPDX-License-Identifier: Apache-2.0
// The copies' thread: which copies are here, and how each changes its role.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "base/diag.h"
#include "server/copy_host.h"
#include "server/mount_mark.h"

namespace understudy::server {
namespace {

Peers PassivesOf(const cluster::DatabaseRecord& record) {
  Peers peers;
  for (const cluster::CopyRecord& copy : record.copies) {
    if (copy.server != record.active) peers[copy.server] = copy.incarnation;
  }
  return peers;
}

// Whom the copy on `server` takes the pages of its seeds from; empty: the active copy.
std::string SeedSourceOf(const cluster::DatabaseRecord& record, const cluster::CopyRecord& mine) {
  const bool has_copy = record.FindCopy(mine.seed_from) != nullptr;
  return has_copy && mine.seed_from != record.active && mine.seed_from != mine.server
             ? mine.seed_from
             : std::string();
}

}  // namespace

void CopyHost::Reconcile(const std::vector<cluster::DatabaseRecord>& records) {
  unsettled_ = false;
  CloseUnwanted(records);
  for (const cluster::DatabaseRecord& record : records) {
    const cluster::CopyRecord* const mine = record.FindCopy(context_.server);
    if (mine == nullptr) continue;
    if (record.active == context_.server) {
      ApplyActive(record);
    } else {
      ApplyPassive(record, *mine);
    }
  }
  // Links nobody needs any more.
  std::set<std::string> needed;
  {
    base::MutexLock lock(mutex_);
    for (const auto& [id, entry] : passives_) needed.insert(entry.peer);
  }
  for (auto at = links_.begin(); at != links_.end();) {
    if (needed.contains(at->first)) {
      ++at;
      continue;
    }
    at->second->BeginStop();
    ending_links_.push_back(std::move(at->second));
    at = links_.erase(at);
  }
  base::MutexLock lock(mutex_);
  changed_.NotifyAll();
}

void CopyHost::CloseUnwanted(const std::vector<cluster::DatabaseRecord>& records) {
  std::map<base::DatabaseId, const cluster::DatabaseRecord*> mine;
  for (const cluster::DatabaseRecord& record : records) {
    if (record.FindCopy(context_.server) != nullptr) mine[record.id] = &record;
  }
  std::vector<std::shared_ptr<ActiveCopy>> actives;
  std::vector<PassiveEntry> passives;
  {
    base::MutexLock lock(mutex_);
    for (auto at = actives_.begin(); at != actives_.end();) {
      const auto found = mine.find(at->first);
      const bool wanted = found != mine.end() && found->second->active == context_.server;
      if (!wanted) actives.push_back(at->second);
      at = wanted ? std::next(at) : actives_.erase(at);
    }
    for (auto at = retiring_.begin(); at != retiring_.end();) {
      const bool wanted = mine.contains(at->first);
      if (!wanted) actives.push_back(at->second);
      at = wanted ? std::next(at) : retiring_.erase(at);
    }
    for (auto at = passives_.begin(); at != passives_.end();) {
      const auto found = mine.find(at->first);
      const cluster::DatabaseRecord* const record = found == mine.end() ? nullptr : found->second;
      // One that is to be the active copy is closed by ApplyActive, once it has handed over.
      const bool wanted = StillThere(at->second, record) &&
                          (record->active == at->second.peer || record->active == context_.server);
      if (!wanted) passives.push_back(at->second);
      at = wanted ? std::next(at) : passives_.erase(at);
    }
  }
  for (const std::shared_ptr<ActiveCopy>& copy : actives) {
    const bool removed = !mine.contains(copy->id());
    copy->Stop(removed ? ActiveCopy::StopMode::kLeave : ActiveCopy::StopMode::kMoved);
    if (removed) RemoveFiles(copy->id(), copy->name(), "");
    if (!copy->HooksDone()) ending_.push_back(copy);
  }
  for (const PassiveEntry& entry : passives) {
    if (const auto link = links_.find(entry.peer); link != links_.end()) {
      link->second->Remove(entry.copy);
    }
    const auto found = mine.find(entry.copy->id());
    if (!StillThere(entry, found == mine.end() ? nullptr : found->second)) {
      RemoveFiles(entry.copy->id(), entry.copy->name(), entry.copy->path());
    }
  }
}

// No hook of a former active copy is running: those of one database run one after the other.
bool CopyHost::HasEnded(base::DatabaseId id) const {
  return std::none_of(ending_.begin(), ending_.end(),
                      [&](const auto& copy) { return copy->id() == id && !copy->HooksDone(); });
}

// Not when it was removed, even if a new one was added in its place before we looked.
bool CopyHost::StillThere(const PassiveEntry& entry, const cluster::DatabaseRecord* record) const {
  if (record == nullptr) return false;
  const cluster::CopyRecord* const copy = record->FindCopy(context_.server);
  return copy != nullptr && copy->incarnation == entry.copy->incarnation();
}

void CopyHost::RemoveFiles(base::DatabaseId id, const std::string& name,
                           const std::string& passive_path) {
  const base::Result<bool> keep = context_.registry.TakeKeepFiles(id, context_.server);
  base::Status status = keep.status();
  if (keep.ok() && !*keep && !passive_path.empty()) {
    status = RemoveDatabaseFiles(context_.env, passive_path);
  }
  if (status.ok()) status = RemoveCopyFiles(context_.env, PathsOf(data_dir_, name));
  if (status.ok()) return;
  base::Diag(base::DiagLevel::kWarning, "server", "files of a removed copy are left",
             {{"database", name}, {"why", status.ToString()}});
}

std::map<std::string, base::Seq> CopyHost::KnownPositions(const cluster::DatabaseRecord& record) {
  std::map<std::string, base::Seq> known;
  const base::Result<std::vector<cluster::CopyStatusRecord>> statuses =
      context_.registry.Statuses();
  if (!statuses.ok()) return known;
  for (const cluster::CopyStatusRecord& status : *statuses) {
    const cluster::CopyRecord* const copy = record.FindCopy(status.server);
    if (status.database != record.name || copy == nullptr) continue;
    if (status.incarnation == copy->incarnation) known[status.server] = status.durable.seq;
  }
  return known;
}

std::shared_ptr<ActiveCopy> CopyHost::MakeActive(const cluster::DatabaseRecord& record,
                                                 const cluster::CopyRecord& mine, bool retiring,
                                                 std::shared_ptr<Handover> handover) {
  ActiveCopy::Options options;
  options.name = record.name;
  options.id = record.id;
  options.incarnation = mine.incarnation;
  options.path = PathOf(record, mine);
  options.paths = PathsOf(data_dir_, record.name);
  options.peers = PassivesOf(record);
  options.known = KnownPositions(record);
  options.retiring = retiring;
  options.handover = std::move(handover);
  options.move_reason = record.move_reason;
  const std::string last = record.history.empty() ? "" : record.history.back().server;
  if (record.move_reason == "failover" && last != context_.server) options.taken_from = last;
  return std::make_shared<ActiveCopy>(context_, std::move(options));
}

std::string CopyHost::PathOf(const cluster::DatabaseRecord& record,
                             const cluster::CopyRecord& mine) const {
  if (!mine.path.empty()) return mine.path;
  const cluster::CopyRecord* const active = record.FindCopy(record.active);
  // Records of older versions have no file name; the first active copy has a path.
  const std::string& file = record.file.empty() && active != nullptr ? active->path : record.file;
  return DefaultPath(data_dir_, record.name, file);
}

// Nothing while the passive copy is still handing over, or its database being fenced.
std::optional<PassiveCopy::HandoverResult> CopyHost::EndPassive(base::DatabaseId id) {
  PassiveEntry entry;
  {
    base::MutexLock lock(mutex_);
    const auto found = passives_.find(id);
    if (found == passives_.end()) return PassiveCopy::HandoverResult{};
    entry = found->second;
  }
  entry.copy->RequestHandover();
  std::optional<PassiveCopy::HandoverResult> result = entry.copy->TakeHandover();
  if (!result) return std::nullopt;
  if (const auto link = links_.find(entry.peer); link != links_.end()) {
    link->second->Remove(entry.copy);
  }
  base::MutexLock lock(mutex_);
  passives_.erase(id);
  return result;
}

void CopyHost::ApplyActive(const cluster::DatabaseRecord& record) {
  std::shared_ptr<ActiveCopy> copy = FindActive(record.id);
  const cluster::CopyRecord& mine = *record.FindCopy(context_.server);
  if (copy == nullptr) {
    if (!HasEnded(record.id)) {
      unsettled_ = true;
      return;
    }
    if (!EndRetirement(record, mine)) return;
    std::optional<PassiveCopy::HandoverResult> ended = EndPassive(record.id);
    if (!ended) {
      unsettled_ = true;
      return;
    }
    if (!ended->why.ok()) {
      // The mount is tried all the same, by what is on disk; it says what it finds.
      context_.events.Add(cluster::EventNumber::kMountFailed, cluster::Severity::kWarning,
                          record.name,
                          fmt::format("the copy of {} on {} is to be mounted but was not ready: {}",
                                      record.name, context_.server, ended->why.ToString()));
    }
    copy = MakeActive(record, mine, /*retiring=*/false, std::move(ended->handover));
    copy->SetWanted(!record.dismounted);
    base::MutexLock lock(mutex_);
    actives_[record.id] = std::move(copy);
    changed_.NotifyAll();
    return;
  }
  copy->SetPeers(PassivesOf(record));
  copy->SetWanted(!record.dismounted);
}

// False: a former active copy is still being retired.
bool CopyHost::EndRetirement(const cluster::DatabaseRecord& record,
                             const cluster::CopyRecord& mine) {
  std::shared_ptr<ActiveCopy> retiring;
  {
    base::MutexLock lock(mutex_);
    if (const auto found = retiring_.find(record.id); found != retiring_.end()) {
      retiring = found->second;
    }
  }
  if (retiring == nullptr) {
    // A copy that is to be mounted here again goes on from where it was.
    if (record.active == context_.server) return true;
    const base::Result<bool> was_mounted =
        WasLeftMounted(context_.env, PathsOf(data_dir_, record.name), record.id);
    if (was_mounted.ok() && !*was_mounted) return true;
    if (was_mounted.ok()) {
      retiring = MakeActive(record, mine, /*retiring=*/true, nullptr);
      base::MutexLock lock(mutex_);
      retiring_[record.id] = std::move(retiring);
    }
    unsettled_ = true;
    return false;
  }
  if (!retiring->retired()) {
    unsettled_ = true;
    return false;
  }
  retiring->Stop(ActiveCopy::StopMode::kFence);
  base::MutexLock lock(mutex_);
  retiring_.erase(record.id);
  return true;
}

PeerLink& CopyHost::LinkTo(const std::string& peer) {
  std::unique_ptr<PeerLink>& link = links_[peer];
  if (link == nullptr) link = std::make_unique<PeerLink>(context_, peer);
  return *link;
}

void CopyHost::ApplyPassive(const cluster::DatabaseRecord& record,
                            const cluster::CopyRecord& mine) {
  std::shared_ptr<PassiveCopy> copy;
  {
    base::MutexLock lock(mutex_);
    if (const auto found = passives_.find(record.id); found != passives_.end()) {
      copy = found->second.copy;
    }
  }
  const bool is_new = copy == nullptr;
  if (is_new && !EndRetirement(record, mine)) return;
  PeerLink& link = LinkTo(record.active);
  if (is_new) {
    PassiveCopy::Options options;
    options.name = record.name;
    options.id = record.id;
    options.incarnation = mine.incarnation;
    options.paths = PathsOf(data_dir_, record.name);
    options.path = PathOf(record, mine);
    copy = std::make_shared<PassiveCopy>(context_, std::move(options), link.signal());
  }
  copy->SetTermKnown(record.term);
  copy->SetHistory(record.history);
  copy->SetSuspended(mine.suspended, mine.suspend_reason);
  copy->SetReplayLag(mine.replay_lag);
  copy->SetSeedBandwidth(mine.seed_bandwidth);
  copy->SetSeedFrom(SeedSourceOf(record, mine));
  copy->SetPeers(PassivesOf(record));
  if (!is_new) return;
  link.Add(copy);
  base::MutexLock lock(mutex_);
  passives_[record.id] = {std::move(copy), record.active};
}

std::string CopyHost::DefaultPath(const std::string& data_dir, const std::string& database,
                                  const std::string& active_path) {
  // Never one of our own names, whatever the database's file is called.
  std::string file = env::BaseNameOf(active_path);
  if (file == "log" || file == "checkpoint" || file == "lost" || file.empty() || file[0] == '.')
    file += ".db";
  return env::JoinPath(PathsOf(data_dir, database).directory, file);
}

}  // namespace understudy::server
