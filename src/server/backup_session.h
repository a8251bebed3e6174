// SPDX-License-Identifier: Apache-2.0
// BackupSession: one backup of the copy here, through the phases of VSS (docs/writers.md).
//
//   PrepareForBackup    the copy can be read, the repository written; the turn among the group's
//                       backups; the log range of the active copy, whose server is told
//   PrepareForSnapshot  the copy has replayed what it has
//   Freeze, Thaw        a read transaction pins a position: nobody is kept from anything
//   PostSnapshot        the provider: a clone of the file where that can be had (clone_snapshot.h);
//                       the position is known; the file for a requester that copies it itself
//   (transfer)          into the repository, by RunBackup; or by the requester, until it says so
//   BackupComplete      stored data was read back; the document is there
//   BackupShutdown      everything is given back, whatever happened; the writer is Stable
//
// Each phase has a limit; what takes longer fails with VSS_E_WRITERERROR_TIMEOUT. The active copy's
// server and the coordinator may be away: the backup's consistency point is the copy's own
// position, so it goes on, and says what it goes on without. Faults can be ordered for every event,
// so that people can rehearse (understudy betest).
//
// Threading: Run is called once, on the session's own thread "bkp-DATABASE"; the rest is
// thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backup/backup_engine.h"
#include "backup/writer.h"
#include "base/mutex.h"
#include "base/progress.h"
#include "server/backup_turn.h"
#include "server/context.h"
#include "server/copy_host.h"
#include "server/group_cache.h"
#include "server/snapshot_adaptor.h"

namespace understudy::server {

struct BackupFault {
  enum class Kind { kFail, kHang, kSlow };
  backup::WriterEvent event = backup::WriterEvent::kPrepareForBackup;
  Kind kind = Kind::kFail;
  backup::WriterCode code = backup::WriterCode::kRetryable;
  base::Duration delay{};  // of a slow one
};

class BackupSession {
 public:
  struct Options {
    std::string id;
    std::string database;
    std::string requester;
    backup::BackupType type = backup::BackupType::kFull;
    bool or_full = false;          // take a full one if an increment has no base
    std::string repository;        // empty: the requester copies by itself
    bool expose = false;           // to it, as a SQLite file
    base::Duration wait{};         // for the turn; zero: fail at once
    base::Duration within{};       // BackupOptions::time_max
    base::Duration phase_limit{};  // instead of the settings; zero: those
    std::vector<BackupFault> faults;
    bool resumed = false;  // begun again after a restart: the copies are being opened
  };
  struct View {
    uint64_t change = 0;
    base::Progress progress;
    std::string waiting_for;  // who has the turn
    base::Position at;        // of the snapshot
    std::string path;         // of the exposed file
    bool ready = false;       // the requester may copy now
    bool ended = false;
    base::Status status;              // of an ended one
    backup::BackupDocument document;  // of a good one with a repository
    std::string note;                 // why it is a full one and no increment
    std::optional<backup::Prediction> prediction;
  };

  BackupSession(const ServerContext& context, CopyHost& host, const GroupCache& cache,
                Options options);
  ~BackupSession();
  BackupSession(const BackupSession&) = delete;
  BackupSession& operator=(const BackupSession&) = delete;

  const Options& options() const { return options_; }
  void Run();

  View view() const EXCLUDES_LOCK(mutex_);
  // Waits until the view changed after `change` or the limit passed.
  View WaitChange(uint64_t change, base::Duration limit) const EXCLUDES_LOCK(mutex_);
  backup::Writer::View writer() const { return writer_.view(); }
  std::string note() const { return turn_.note(); }

  void NoteRequester() EXCLUDES_LOCK(mutex_);           // it is alive
  void Complete(bool succeeded) EXCLUDES_LOCK(mutex_);  // its word that it has copied, or gives up
  void Cancel() EXCLUDES_LOCK(mutex_);
  void Renew();  // about once a second

 private:
  using Step = base::Status (BackupSession::*)();

  base::Status RunPhases();
  base::Status Handle(backup::WriterEvent event, Step step);
  base::Status ApplyFaults(backup::WriterEvent event);
  base::Status Prepare();
  base::Status CheckCopy();
  base::Status TakeTurn();
  base::Status AskLogRange();
  base::Status PrepareSnapshot();
  base::Status Freeze();
  base::Status Thaw() { return {}; }
  base::Result<std::string> ChooseProvider();
  base::Result<std::string> PlaceClone(const std::string& clone);
  base::Status PostSnapshot();
  base::Status Transfer();
  std::optional<backup::BackupDocument> FindFinished() const;
  base::Status Store();
  void NoteStored(const backup::BackupDocument& document) EXCLUDES_LOCK(mutex_);
  base::Status CheckPages();
  base::ProgressSink ProgressSink();
  base::Status AwaitRequester();
  base::Status BackupComplete();
  void NoteBackedUp() EXCLUDES_LOCK(mutex_);
  void Report(const base::Status& status);
  void FailWriter(const base::Status& status);
  base::Duration Limit(backup::WriterEvent event) const;
  std::string_view LimitSetting(backup::WriterEvent event) const;
  base::Duration Setting(std::string_view name) const;
  bool Pause(base::Duration length) EXCLUDES_LOCK(mutex_);  // false: cancelled
  bool cancelled() const EXCLUDES_LOCK(mutex_);
  void Publish(const std::function<void(View&)>& change) EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  CopyHost& host_;
  const GroupCache& cache_;
  backup::Writer writer_;
  const Options options_;
  BackupTurn turn_;

  // Used by the session's thread only.
  std::unique_ptr<backup::Repository> repository_;
  std::unique_ptr<ReaderSnapshot> reading_;           // until the provider is chosen
  std::unique_ptr<backup::SnapshotSource> snapshot_;  // from then on
  std::string exposed_;                               // directory of the exposed file
  backup::Phase phase_ = backup::Phase::kIdentify;
  base::SteadyTime phase_began_{};
  base::SteadyTime freeze_began_{};
  base::SteadyTime wait_until_{};  // for another backup's end
  backup::WriterFailure trouble_;  // what is known of the failure that comes, beside its status

  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  View view_ GUARDED_BY(mutex_);
  std::optional<bool> completed_ GUARDED_BY(mutex_);
  base::SteadyTime heard_ GUARDED_BY(mutex_);  // of the requester
  bool cancel_ GUARDED_BY(mutex_) = false;
  // Of a good one that lets log go, until the registry has it.
  std::optional<backup::BackupDocument> unnoted_ GUARDED_BY(mutex_);
};

}  // namespace understudy::server
