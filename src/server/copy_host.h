// SPDX-License-Identifier: Apache-2.0
// CopyHost: all copies on this server, kept as the group's registry says.
//
// Its thread "copies" compares the newest records with what is here and mounts, starts, suspends,
// closes and removes copies. (Not the cluster thread: closing a copy may take seconds, and a lease
// must be kept meanwhile.) Files of a copy are removed only when the registry was read and no
// longer has it, never because something is missing at start: a directory nobody knows is left
// alone.
//
// A copy's role on a server changes like this (docs/design/0006-who-is-active.md):
//   passive -> active   the passive copy hands its database and log over, locked; then it is
//   mounted active -> passive   dismounted, which leaves a database like a passive one crashed
//   active -> passive   its mount mark is still there: it is retired first
// Threading: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/thread.h"
#include "server/active_copy.h"
#include "server/context.h"
#include "server/passive_copy.h"
#include "server/peer_link.h"

namespace understudy::server {

class CopyHost {
 public:
  CopyHost(const ServerContext& context, std::string data_dir);
  ~CopyHost();  // as Stop
  CopyHost(const CopyHost&) = delete;
  CopyHost& operator=(const CopyHost&) = delete;

  const std::string& data_dir() const { return data_dir_; }
  // What the registry has now.
  void Update(std::vector<cluster::DatabaseRecord> records) EXCLUDES_LOCK(mutex_);
  // A server announced itself: connect to it without waiting.
  void RetryLinks() EXCLUDES_LOCK(mutex_);
  // The first half of a stop: active copies are dismounted, and what they have reaches the passive
  // copies that are connected, within `limit`.
  void DismountAll(base::Duration limit) EXCLUDES_LOCK(mutex_);
  void Stop();

  std::shared_ptr<ActiveCopy> FindActive(base::DatabaseId id) const EXCLUDES_LOCK(mutex_);
  std::shared_ptr<ActiveCopy> FindActive(const std::string& name) const EXCLUDES_LOCK(mutex_);
  std::shared_ptr<PassiveCopy> FindPassive(base::DatabaseId id) const EXCLUDES_LOCK(mutex_);
  std::shared_ptr<PassiveCopy> FindPassive(const std::string& name) const EXCLUDES_LOCK(mutex_);
  // Every copy that is active or passive here, not those that are retired.
  struct Hosted {
    base::DatabaseId id;
    std::shared_ptr<ActiveCopy> active;  // one of the two is null
    std::shared_ptr<PassiveCopy> passive;
    const std::string& name() const { return active ? active->name() : passive->name(); }
    uint64_t incarnation() const { return active ? active->incarnation() : passive->incarnation(); }
  };
  std::vector<Hosted> Copies() const EXCLUDES_LOCK(mutex_);
  std::optional<Hosted> FindCopy(base::DatabaseId id) const EXCLUDES_LOCK(mutex_);
  // Waits until the copy appears; null when the limit passed.
  std::shared_ptr<ActiveCopy> WaitActive(base::DatabaseId id, base::Duration limit)
      EXCLUDES_LOCK(mutex_);

  struct LocalStatus {
    std::string database;
    base::DatabaseId id;
    v1::CopyStatus status;
    PassiveCopy::Ages ages{};
  };
  std::vector<LocalStatus> Statuses() const EXCLUDES_LOCK(mutex_);
  // The active copies that are mounted and have passive ones elsewhere.
  struct MountedCopy {
    std::string name;
    base::DatabaseId id;
    base::Term term;
  };
  std::vector<MountedCopy> Mounted() const EXCLUDES_LOCK(mutex_);

  // "name/file name" below the data directory, for a passive copy without a path of its own.
  static std::string DefaultPath(const std::string& data_dir, const std::string& database,
                                 const std::string& active_path);

 private:
  struct PassiveEntry {
    std::shared_ptr<PassiveCopy> copy;
    std::string peer;
  };
  using Actives = std::map<base::DatabaseId, std::shared_ptr<ActiveCopy>>;
  using Passives = std::map<base::DatabaseId, PassiveEntry>;

  void Run();
  void LookAtCopies(base::SteadyTime now);  // copy_host_lag.cc

  // The copies' thread: copy_host_roles.cc.
  void Reconcile(const std::vector<cluster::DatabaseRecord>& records);
  void CloseUnwanted(const std::vector<cluster::DatabaseRecord>& records);
  bool HasEnded(base::DatabaseId id) const;
  bool StillThere(const PassiveEntry& entry, const cluster::DatabaseRecord* record) const;
  void ApplyActive(const cluster::DatabaseRecord& record);
  void ApplyPassive(const cluster::DatabaseRecord& record, const cluster::CopyRecord& copy);
  bool EndRetirement(const cluster::DatabaseRecord& record, const cluster::CopyRecord& copy);
  std::optional<PassiveCopy::HandoverResult> EndPassive(base::DatabaseId id);
  std::shared_ptr<ActiveCopy> MakeActive(const cluster::DatabaseRecord& record,
                                         const cluster::CopyRecord& mine, bool retiring,
                                         std::shared_ptr<Handover> handover);
  void RemoveFiles(base::DatabaseId id, const std::string& name, const std::string& passive_path);
  std::string PathOf(const cluster::DatabaseRecord& record, const cluster::CopyRecord& mine) const;
  PeerLink& LinkTo(const std::string& peer);
  std::map<std::string, base::Seq> KnownPositions(const cluster::DatabaseRecord& record);

  const ServerContext context_;
  const std::string data_dir_;
  rpc::Signal signal_;

  // Used by the copies' thread only (and by Stop after it ended).
  std::map<std::string, std::unique_ptr<PeerLink>> links_;
  std::vector<std::unique_ptr<PeerLink>> ending_links_;  // nobody needs them any more
  std::vector<std::shared_ptr<ActiveCopy>> ending_;      // dismounted; a hook of theirs runs
  std::vector<cluster::DatabaseRecord> records_;         // the newest that were applied
  bool unsettled_ = false;  // a copy is changing its role: look again soon
  base::SteadyTime next_copies_look_{};
  std::map<std::string, base::SteadyTime> few_since_;  // by database: too few copies without a lag

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool retry_links_ GUARDED_BY(mutex_) = false;
  std::optional<std::vector<cluster::DatabaseRecord>> newest_ GUARDED_BY(mutex_);
  Actives actives_ GUARDED_BY(mutex_);
  Actives retiring_ GUARDED_BY(mutex_);
  Passives passives_ GUARDED_BY(mutex_);

  base::Thread thread_;
};

}  // namespace understudy::server
