// SPDX-License-Identifier: Apache-2.0
// ActiveCopy: the mounted copy of one database on this server: its log, capture, and what the
// passives have of it.
//
// Its thread "cap-<database>" opens the log, takes a term from the registry, opens capture and runs
// it. A failure of capture (database deleted, replaced, locked; disk full) is state Failed with the
// sentence and is tried again with growing delays; when the log itself failed it is opened anew,
// with a new term. Each mount has its own LogStore object and mount number: connections that still
// use an older one are closed by their session.
//
//   Mounting -> Mounted -> (failure) Failed -> Mounting …
//   Mounted -> Dismounting -> Dismounted -> Mounting …
//
// It is mounted only while this server's authority (authority.h) lasts, unless there is no other
// copy, and nobody wants it dismounted. Dismounting fences the database: everything committed is in
// the log, and the file has the read-only mark (docs/design/0006-who-is-active.md). A dismounted
// copy goes on serving its log. A *retiring* copy is never mounted: one that was active until its
// server failed, and whose database is now fenced, with what its log lacked taken into it.
//
// An administrator's hooks (hooks.h) run beside the thread. pre_mount is waited for with the
// database still fenced; pre_dismount while it is followed and can be written, and only as long as
// the lease lasts. A dismount that is urgent waits for no hook, and a retiring copy has none.
//
// Threading: thread-safe; Capture is used on the copy's own thread only, others go through tasks().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/thread.h"
#include "capture/capture.h"
#include "log/log_store.h"
#include "rpc/signal.h"
#include "server/context.h"
#include "server/copy_directory.h"
#include "server/database_lock.h"
#include "server/hooks.h"
#include "server/log_keeper.h"
#include "server/mount_mark.h"
#include "server/roll_forward.h"
#include "server/task_queue.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

// What a passive copy has acknowledged.
struct PeerProgress {
  bool connected = false;
  base::Position durable;
  base::Position replayed;

  bool operator==(const PeerProgress&) const = default;
};

// The servers that have passive copies by the registry, each with its copy's incarnation.
using Peers = std::map<std::string, uint64_t>;

// One mount: what a session needs to serve it.
struct Mount {
  uint64_t number = 0;  // differs for each mount of this process
  base::Term term;
  std::shared_ptr<log::LogStore> log;
};

class ActiveCopy {
 public:
  // What a stop does to the database.
  enum class StopMode {
    kLeave,  // it stays writable: removed from the group, or the only copy
    kFence,  // it is like a passive copy's
    kMoved,  // as kFence, and waits for no hook: another server's copy is the active one
  };
  // How long a stop waits for an application that is in the middle of a transaction.
  static constexpr base::Duration kStopLockWaitMax = std::chrono::seconds(3);

  struct Options {
    std::string name;
    base::DatabaseId id;
    uint64_t incarnation = 0;  // the copy's in the registry
    std::string path;
    CopyPaths paths;
    bool set_wal = false;
    Peers peers;
    bool retiring = false;
    std::shared_ptr<Handover> handover = {};  // of the passive copy that it was
    std::map<std::string, base::Seq> known;   // what they are known to have, for their holds
    std::string move_reason = {};             // in the registry: why this is the active copy
    std::string taken_from = {};  // by a failover: the server whose copy was the active one
  };
  ActiveCopy(const ServerContext& context, Options options);
  ~ActiveCopy();  // as Stop(kLeave)
  ActiveCopy(const ActiveCopy&) = delete;
  ActiveCopy& operator=(const ActiveCopy&) = delete;

  const std::string& name() const { return options_.name; }
  base::DatabaseId id() const { return options_.id; }
  const std::string& path() const { return options_.path; }
  uint64_t incarnation() const { return options_.incarnation; }
  // Pages that were found to be damaged when they were read for somebody, since the last call.
  std::vector<base::PageNo> TakeSuspects() EXCLUDES_LOCK(mutex_);

  // Captures the rest, syncs, closes and joins the thread. BeginStop does not wait for it.
  void Stop(StopMode mode);
  void BeginStop(StopMode mode) EXCLUDES_LOCK(mutex_);
  // By an administrator's word in the registry: dismounted, or mounted again.
  void SetWanted(bool wanted) EXCLUDES_LOCK(mutex_);
  // Dismounted for a while, so that another copy can be made the active one; returns once the
  // database is fenced, with the end of its log (nothing: it has none open).
  base::Result<base::Position> Relinquish(base::Duration time, base::Duration limit)
      EXCLUDES_LOCK(mutex_);
  // `peer` knows of a mount in a higher term: ours is dismounted, and mounted again only with a
  // term that is higher still. Ignored unless it is about the mount `number`.
  void NoteHigherTerm(uint64_t number, base::Term term, const std::string& peer)
      EXCLUDES_LOCK(mutex_);
  // Of a retiring copy: everything is done, or it failed.
  bool retired() const EXCLUDES_LOCK(mutex_);

  // A planned move: no application can write any more when `target` has everything, then the
  // registry makes it the active one. Until then everything is undone when something fails.
  // Errors: kBusy (an application is in a transaction), kTimedOut (the target did not get there),
  // kUnavailable after the fence: the registry did not answer, and this copy stays dismounted until
  // it does; the hook's when pre_dismount fails, and nothing was changed. Blocks for the hook's
  // time, `limit` and a little.
  struct Switchover {
    std::string target;
    std::string reason;
    base::Duration limit{};  // of the time that applications may be kept from writing
  };
  struct Switched {
    base::Position at;
    base::SteadyTime since;  // applications could not write any more
  };
  base::Result<Switched> SwitchTo(const Switchover& how) EXCLUDES_LOCK(mutex_);

  // No hook of it is running.
  bool HooksDone() const { return hooks_.done(); }

  // Waits until mounted, failed or the limit passed: the failure, or kTimedOut.
  base::Status WaitMounted(base::Duration limit) EXCLUDES_LOCK(mutex_);
  // Whether an application may rely on this copy being the active one at this moment.
  bool IsMountedNow() const EXCLUDES_LOCK(mutex_);
  // The log of mount() has ended: the database is fenced, everything is in the log and synced, and
  // nothing more will be written in the mount's term.
  bool IsFinal() const EXCLUDES_LOCK(mutex_);
  // What log can be served; kUnavailable with the reason while there is none.
  base::Result<Mount> mount() const EXCLUDES_LOCK(mutex_);

  // As of now: what was known of other copies, and their holds, is dropped.
  void SetPeers(const Peers& peers) EXCLUDES_LOCK(mutex_);
  bool HasPeers() const EXCLUDES_LOCK(mutex_);
  bool HasPeer(const std::string& peer, uint64_t incarnation) const EXCLUDES_LOCK(mutex_);
  void SetPeerProgress(const std::string& peer, uint64_t incarnation, const PeerProgress& progress)
      EXCLUDES_LOCK(mutex_);
  std::map<std::string, PeerProgress> peer_progress() const EXCLUDES_LOCK(mutex_);
  // Waits until the connected passives have all of the log, durably, or `until` has come.
  void WaitShipped(base::SteadyTime until) EXCLUDES_LOCK(mutex_);
  // Waits until some peer's progress changed or the limit passed.
  void WaitPeerProgress(base::Duration limit) EXCLUDES_LOCK(mutex_);

  // Passive copies for which the log they need is not kept any more, and why, for a person.
  struct Straggler {
    std::string why;
    base::WallTime since;
  };
  std::map<std::string, Straggler> stragglers() const EXCLUDES_LOCK(mutex_);

  // `listener` is notified whenever log became durable or the mount changed.
  void AddListener(const std::shared_ptr<rpc::Signal>& listener) EXCLUDES_LOCK(mutex_);

  TaskQueue<capture::Capture>& tasks() { return tasks_; }
  v1::CopyStatus Status() const EXCLUDES_LOCK(mutex_);

 private:
  enum class State { kMounting, kMounted, kFailed, kDismounting, kDismounted };

  // The copy's thread: active_copy.cc.
  void Run();
  void RunMounted();
  base::Status RunCapture();
  base::Result<bool> Follow();
  void AwaitWork();
  base::Duration BeforeDismount(base::Duration limit) const;
  void Rest(base::Duration limit);
  void OnFenced(const base::Status& status);
  void OnFailure(const base::Status& status);
  void Publish();
  void ReleaseSeedHolds(log::LogStore& log, const std::set<std::string>& seeding);
  base::Status KeepLog(const std::shared_ptr<log::LogStore>& log);
  void OnLetGo(const log::LogStore& log, const RetentionPlan::LetGo& one) EXCLUDES_LOCK(mutex_);
  void CloseCapture() EXCLUDES_LOCK(mutex_);
  void SetUnfenced(bool unfenced) EXCLUDES_LOCK(mutex_);
  void SetFinal() EXCLUDES_LOCK(mutex_);
  void CloseMount() EXCLUDES_LOCK(mutex_);
  bool MayBeMounted(base::Duration spare) EXCLUDES_LOCK(mutex_);
  bool HasLease(base::Duration spare) const EXCLUDES_LOCK(mutex_);
  std::string WhyNotMounted() const EXCLUDES_LOCK(mutex_);

  // The copy's thread: active_copy_mount.cc.
  base::Status TryMount();
  base::Result<Handover> PrepareMount();
  base::Status CheckNotReplaced();
  base::Status CheckNotPromised() const;
  base::Result<std::shared_ptr<log::LogStore>> OpenLog();
  base::Result<base::Term> TakeTerm(const std::shared_ptr<log::LogStore>& log);
  base::Status MendLostEnd(Handover& handover);
  base::Status RestartLog(Handover& handover, const base::Status& why);
  base::Status RollForward(log::LogStore& log);
  base::Status OpenCapture(log::LogStore& log, base::Term term, bool at_log_end);
  MountedDatabase Database() const;
  base::Status SaveMark();
  base::Status Retire();
  base::Status RetireDatabase(bool marked);

  // The copy's thread: active_copy_hooks.cc.
  base::Status AskPreMount(base::Position end);
  void TellMounted(const std::string& reason);
  base::Status TellPreDismount(const std::string& reason);
  HookFacts Facts(const std::string& reason) const EXCLUDES_LOCK(mutex_);
  std::string MountReason() const;
  std::string DismountReason() const EXCLUDES_LOCK(mutex_);

  // The copy's thread: active_copy_dismount.cc.
  void Dismount();
  base::Status Fence(sqlite::PassiveWal& lock);
  base::Result<DatabaseLock> LockForDismount();
  void FinalDismount(StopMode mode);
  base::Result<Switched> SwitchHere(const Switchover& how);
  base::Result<Switched> FenceFor(const Switchover& how, base::SteadyTime until);
  base::Status AwaitTarget(const std::string& target, base::Seq seq, base::SteadyTime until);
  base::Status MoveInRegistry(const Switchover& how);
  base::Status GiveUpMount(const base::Status& why);

  void NotifyListeners() EXCLUDES_LOCK(mutex_);
  void Wake() EXCLUDES_LOCK(mutex_);
  bool stopping() const EXCLUDES_LOCK(mutex_);
  void SetState(State state) EXCLUDES_LOCK(mutex_);

  // Constant after construction.
  const ServerContext context_;
  const Options options_;

  // Synchronise themselves.
  rpc::Signal signal_;
  TaskQueue<capture::Capture> tasks_;
  TaskQueue<ActiveCopy> moves_;  // what may end the mount: run outside of capture's own work

  // Used by the copy's thread only.
  std::shared_ptr<Handover> handover_;
  std::unique_ptr<capture::Capture> capture_;
  bool mark_has_peers_ = false;    // as the mount mark says
  std::string move_reason_;        // until a term was taken
  bool told_of_dismount_ = false;  // pre_dismount was started since the mount
  base::Status given_up_;          // why a switchover left a mount that has to end
  bool unfenced_ = false;          // applications may write, or may have since we followed
  base::Duration retry_delay_{};
  uint64_t seen_log_change_ = 0;
  base::SteadyTime next_retention_{};
  LogKeeper keeper_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  State state_ GUARDED_BY(mutex_) = State::kMounting;
  bool stop_ GUARDED_BY(mutex_) = false;
  StopMode stop_mode_ GUARDED_BY(mutex_) = StopMode::kLeave;
  bool wanted_ GUARDED_BY(mutex_) = true;
  bool fenced_ GUARDED_BY(mutex_) = false;  // !unfenced_, as others may know
  bool final_ GUARDED_BY(mutex_) = false;
  base::SteadyTime relinquished_until_ GUARDED_BY(mutex_){};
  uint64_t refused_terms_ GUARDED_BY(mutex_) = 0;  // NoteHigherTerm
  bool moved_ GUARDED_BY(mutex_) = false;          // to another server; that one mounts it
  bool retired_ GUARDED_BY(mutex_) = false;
  std::vector<base::PageNo> suspects_ GUARDED_BY(mutex_);
  capture::Capture* waker_ GUARDED_BY(mutex_) = nullptr;  // while it may be waiting
  Mount mount_ GUARDED_BY(mutex_);
  base::Status failure_ GUARDED_BY(mutex_);
  base::WallTime failure_time_ GUARDED_BY(mutex_);
  Peers peers_ GUARDED_BY(mutex_);
  std::map<std::string, PeerProgress> progress_ GUARDED_BY(mutex_);
  std::map<std::string, Straggler> stragglers_ GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<rpc::Signal>> listeners_ GUARDED_BY(mutex_);

  Hooks hooks_;  // wakes the copy's thread, so it ends before all that this needs

  base::Thread thread_;
};

}  // namespace understudy::server
