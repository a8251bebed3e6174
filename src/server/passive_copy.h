// SPDX-License-Identifier: Apache-2.0
// PassiveCopy: one passive copy on this server: its log, the log copier, a seed or resync when one
// is needed, and replay.
//
// The link thread of the active's server (peer_link.h) drives copying and seeding through the
// methods of the first group; ReplayWorker has replay's own thread. What this class decides:
//   - no database file, or an unfinished seed's journal:     seed
//   - log copier kLogGap or kDiverged, replay kDiverged, kCorruption or kLogGap, a damaged log:
//     resynchronise, at most every kReseedInterval; or when a person asks. First what the group
//     went on without is saved (lost_log.h), then the log is removed, then a seed that begins with
//     the pages that are here replaces the database (reseed_mark.h has the stages). The old
//     database stays readable until the new one is whole. All pages are fetched only when a person
//     asks for it, or when nothing of the file can be used
//   - whom the pages of a seed come from (passive_copy_route.cc)
//   - how far replay may go: a lagged copy holds log back (replay_lag.h, passive_copy_lag.cc)
//   - log or replay kIoError, kNoSpace, kBusy and the like:   close, and open anew after a delay
//
// Threading: the first group is confined to the link thread; the second is thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "server/context.h"
#include "server/copy_directory.h"
#include "server/freshness.h"
#include "server/log_keeper.h"
#include "server/lost_log_writer.h"
#include "server/peer_connection.h"
#include "server/replay_lag.h"
#include "server/replay_worker.h"
#include "server/reseed_mark.h"
#include "ship/log_copier.h"
#include "ship/seed_target.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

// Of a lagged copy's log: what is not replayed yet.
inline constexpr std::string_view kLagHold = "replay lag";

class PassiveCopy {
 public:
  // How long a handover waits for the last logs of a former active that still answers, and in all.
  static constexpr base::Duration kLastLogsLimit = std::chrono::seconds(2);
  // … and, where log is left to be replayed, since that went on last.
  static constexpr base::Duration kHandoverLimit = std::chrono::seconds(30);

  struct Options {
    std::string name;
    base::DatabaseId id;
    uint64_t incarnation = 0;  // the copy's in the registry
    std::string path;
    CopyPaths paths;
  };
  // `link` is the signal of the link thread.
  PassiveCopy(const ServerContext& context, Options options, std::shared_ptr<rpc::Signal> link);
  ~PassiveCopy();
  PassiveCopy(const PassiveCopy&) = delete;
  PassiveCopy& operator=(const PassiveCopy&) = delete;

  // --- link thread ---
  void OnConnected(ship::Channel& channel, const std::string& source, base::SteadyTime now);
  void OnDisconnected(const std::string& cause, base::SteadyTime now);
  void OnMessage(ship::Message&& message, base::SteadyTime now);
  ship::RunResult RunOnce(base::SteadyTime now);
  // Closes log and database; the object then only answers Status. The last call of the link thread.
  void Shut();

  // --- any thread ---
  const std::string& name() const { return options_.name; }
  base::DatabaseId id() const { return options_.id; }
  uint64_t incarnation() const { return options_.incarnation; }
  const std::string& path() const { return options_.path; }
  const CopyPaths& paths() const { return options_.paths; }
  void SetTermKnown(base::Term term) EXCLUDES_LOCK(mutex_);
  // Of the database's terms, as in the registry; oldest first.
  void SetHistory(std::vector<cluster::TermStart> history) EXCLUDES_LOCK(mutex_);
  // A person wants this copy resynchronised, or with `full` all of its pages fetched; begins soon.
  // kBusy while that is being done already, kAlreadyExists when the file is not this copy's.
  // ENSURES: Status says `reseeding` until the copy is whole again.
  base::Status RequestReseed(bool full) EXCLUDES_LOCK(mutex_);
  void SetSuspended(bool suspended, const std::string& reason) EXCLUDES_LOCK(mutex_);
  // Log is replayed only once it has been here for so long; 0: at once.
  void SetReplayLag(base::Duration lag) EXCLUDES_LOCK(mutex_);
  // Copies without a lag that are fewer than lag.playdown_copies_min, and why that matters now;
  // empty: they are not.
  void SetFewCopies(const std::string& why) EXCLUDES_LOCK(mutex_);
  // Held log up to `to` is replayed at once; `why` follows "because".
  void RequestPlayDown(base::Seq to, const std::string& why) EXCLUDES_LOCK(mutex_);
  // The log and whether it has all that the active copy had when it was heard last; kUnavailable
  // while it is closed.
  struct HeldLog {
    std::shared_ptr<log::LogStore> log;
    bool complete = false;
  };
  base::Result<HeldLog> held_log() const EXCLUDES_LOCK(mutex_);
  // One extraction at a time (admin_lag.cc).
  std::atomic_flag& extracting() { return extracting_; }
  // Of this copy's seeds, bytes a second; 0: the server's own limit counts.
  void SetSeedBandwidth(uint64_t bandwidth) { seed_rate_.SetRate(bandwidth); }
  // The server whose passive copy gives the pages of this copy's seeds; empty: the active one.
  void SetSeedFrom(const std::string& server) EXCLUDES_LOCK(mutex_);
  // The group's passive copies of this database, with their incarnations.
  void SetPeers(std::map<std::string, uint64_t> peers) EXCLUDES_LOCK(mutex_);
  bool HasPeer(const std::string& peer, uint64_t incarnation) const EXCLUDES_LOCK(mutex_);
  base::Term term_known() const EXCLUDES_LOCK(mutex_);
  // The log of a copy whose pages are good for a seed of another; kUnavailable says why they are
  // not. It is another one after the copy was opened anew.
  base::Result<std::shared_ptr<log::LogStore>> SeedableLog() const EXCLUDES_LOCK(mutex_);
  // This copy is to be mounted: copy the last logs from the former active if it still answers,
  // replay everything, and be ready for TakeHandover, within kHandoverLimit.
  void RequestHandover() EXCLUDES_LOCK(mutex_);
  struct HandoverResult {
    std::shared_ptr<Handover> handover;  // null: why tells
    base::Status why;
    bool last_logs_copied = false;  // all that the former active had, as it said itself
  };
  // Nothing while that is under way. After it the copy is closed: remove it from its link.
  std::optional<HandoverResult> TakeHandover() EXCLUDES_LOCK(mutex_);
  // Damage of it is being repaired: state PageRepair, if it is healthy otherwise.
  void SetPageRepair(bool under_way) EXCLUDES_LOCK(mutex_);
  // Waits until nothing is copied or replayed here any more; false when the limit passed.
  bool WaitSuspended(base::Duration limit) EXCLUDES_LOCK(mutex_);
  // Waits until Status may have changed or the limit passed.
  void WaitStatus(base::Duration limit) EXCLUDES_LOCK(mutex_);
  TaskQueue<replay::Replayer>& tasks() { return worker_.tasks(); }
  v1::CopyStatus Status() const EXCLUDES_LOCK(mutex_);
  // How long ago the active copy had no more than this one has; nothing: not known.
  struct Ages {
    std::optional<base::Duration> copied;
    std::optional<base::Duration> replayed;
  };
  Ages ages() const EXCLUDES_LOCK(mutex_);

 private:
  base::Status Open(base::SteadyTime now);
  base::Status OpenLog();
  void StartReplay();
  void CloseAll(const base::Status& why, base::SteadyTime now);
  // Seeding and resync (passive_copy_seed.cc).
  base::Status OpenSeed(bool replace, base::SteadyTime now);
  base::Result<std::unique_ptr<ship::BasePages>> OpenBase(bool has_database);
  void Reseed(const base::Status& why, bool full, base::SteadyTime now);
  void ReseedAsAsked(bool full, base::SteadyTime now);
  base::Status BeginSave(const base::Status& log_opened, base::SteadyTime now);
  void FollowSave(base::SteadyTime now, ship::RunResult& result);
  base::Status EnterStage(ReseedMark::Stage stage);
  base::Status RemoveOldLog();
  bool ReseedDue(base::SteadyTime now) const;
  bool HistoryReaches(base::SteadyTime now);
  void FollowSeed(base::SteadyTime now, ship::RunResult& result);
  bool EnterSeeds(base::SteadyTime now);
  void LeaveSeeds();
  void SeedFailed(base::SteadyTime now);
  base::Status SeedDone(base::SteadyTime now);
  // passive_copy_route.cc
  bool PagesElsewhere() const;
  bool TakesFromOther() const;
  // Gives the seed the channel it is to use; `cause`: why another one has ended.
  void RouteSeed(const std::string& cause, base::SteadyTime now);
  void FollowSeedLink(base::SteadyTime now, ship::RunResult& result);
  void WatchSeedSource(base::SteadyTime now, ship::RunResult& result);
  void GiveSourceUp(const std::string& why);
  bool resynchronizing() const;
  bool ReplayIsAtEnd() const;
  void FollowReplay(base::SteadyTime now);
  void FollowCopier(base::SteadyTime now);
  // Lag (passive_copy_lag.cc).
  void OpenLag();
  void FollowLag(base::SteadyTime now, ship::RunResult& result);
  ReplayLag::Facts LagFacts(base::SteadyTime now);
  void LookAtDisk(base::SteadyTime now);
  base::Seq ChunkEnd(base::Seq after) const;
  void ReclaimLog(base::SteadyTime now);
  void SaveLagMarks(base::SteadyTime now);
  void PublishLag(v1::CopyStatus& status);
  std::string lag_path() const { return env::JoinPath(options_.paths.directory, kLagFile); }
  void FollowHandover(base::SteadyTime now, ship::RunResult& result);
  void FinishHandover(HandoverResult&& result, base::SteadyTime now);
  void ApplyWishes(base::SteadyTime now);
  bool CheckpointedForBackup(base::SteadyTime now);
  void ApplyRetentionNow(base::SteadyTime now);
  void Publish() EXCLUDES_LOCK(mutex_);
  void ReportState(const std::string& state, const base::Status& failure);
  std::string StateName() const;

  // Constant after construction.
  const ServerContext context_;
  const Options options_;
  const std::shared_ptr<rpc::Signal> link_;
  // Synchronises itself.
  ReplayWorker worker_;
  base::RateLimit seed_rate_;

  // Confined to the link thread.
  LogKeeper keeper_;
  std::shared_ptr<log::LogStore> log_;
  std::unique_ptr<ship::LogCopier> copier_;
  std::unique_ptr<ship::SeedTarget> seed_;
  std::optional<ReseedMark> mark_;         // while log and database are being replaced
  std::unique_ptr<LostLogWriter> saving_;  // log_ is open for it, copier_ is not there
  std::shared_ptr<const std::vector<cluster::TermStart>> history_;
  base::Term source_term_;  // the highest that a source has told
  ship::Channel* channel_ = nullptr;
  std::string source_;
  PeerConnection seed_link_;               // to seed_from_, while it gives pages
  ship::Channel* seed_channel_ = nullptr;  // that the seed was told of
  std::string seed_from_;                  // the chosen source of pages; empty: the active copy
  bool source_given_up_ = false;           // … which is of no use for the seed under way
  base::SteadyTime source_moved_{};        // when it last gave something
  uint64_t source_moved_to_ = 0;
  bool has_seed_slot_ = false;
  std::string seed_waits_;  // for a slot: why
  bool replaying_ = false;
  bool suspended_ = false;
  base::Status broken_;  // why everything is closed, until retry_at_
  base::SteadyTime retry_at_{};
  base::Duration retry_delay_{};
  base::SteadyTime next_reseed_{};
  base::Term reseed_term_;          // what source_term_ was at the last reseed
  bool about_to_reseed_ = false;    // waits for replay, or for the registry
  base::SteadyTime history_due_{};  // until when to wait for the registry; {}: not waiting
  base::SteadyTime next_retention_{};
  uint64_t seen_log_change_ = 0;
  std::optional<base::SteadyTime> unheeded_;  // the copier's last message, until freshness_ has it
  std::string last_state_;
  base::SteadyTime handover_since_{};  // zero: none was asked for
  base::SteadyTime handover_moved_{};  // replay went on since
  base::Seq handover_replayed_;
  base::Duration replay_lag_{};
  ReplayLag lag_;
  std::string few_copies_;
  std::string disk_low_;  // a sentence; empty: it is not
  base::SteadyTime next_disk_look_{};
  base::SteadyTime next_marks_save_{};
  std::shared_ptr<std::atomic<bool>> checkpointing_;  // for a backup; true: done
  base::SteadyTime checkpoint_until_{};               // … or waited for no longer
  std::shared_ptr<std::atomic<bool>> reclaiming_;     // true: replay's part of it is done
  bool handed_over_ = false;

  mutable base::Mutex mutex_;
  struct Wishes {
    base::Term term_known;
    bool suspended = false;
    std::string reason;
    bool hand_over = false;
    std::shared_ptr<const std::vector<cluster::TermStart>> history;
    std::optional<bool> reseed;  // in full or not
    base::Duration replay_lag{};
    std::string few_copies;
    std::string seed_from;
    base::Seq play_down_to;  // 0: nobody asks
    std::string play_down_why;
  };
  Wishes wishes_ GUARDED_BY(mutex_);
  base::CondVar published_;
  std::map<std::string, uint64_t> peers_ GUARDED_BY(mutex_);
  std::atomic<bool> page_repair_ = false;
  bool at_rest_ GUARDED_BY(mutex_) = false;  // suspended, as the link thread and replay have seen
  v1::CopyStatus status_ GUARDED_BY(mutex_);
  HeldLog held_log_ GUARDED_BY(mutex_);
  Freshness freshness_ GUARDED_BY(mutex_);
  base::SteadyTime heard_ GUARDED_BY(mutex_){};  // the active's last word; zero: none yet
  std::optional<HandoverResult> handover_ GUARDED_BY(mutex_);
  std::atomic_flag extracting_;
};

}  // namespace understudy::server
