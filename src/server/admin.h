// SPDX-License-Identifier: Apache-2.0
// Admin: what the commands and other servers ask this one (rpc/admin_backend.h).
//
// Changes go to the registry; the servers concerned see them there. Questions about other servers'
// copies are asked of those servers, each within a short limit; where one does not answer, what it
// last published is told.
//   admin_databases.cc  servers, databases, copies       admin_status.cc  status, wait, events
//   admin_backups.cc    backups                          admin_moves.cc   switchover, failover
//   admin_settings.cc   dial, preference, pause          admin_health.cc  health, maintenance
//   admin_rebalance.cc  rebalance, failsafe mode
//   admin_backup_forward.cc  one that another server takes
//   admin_backup_source.cc   which copy a backup reads
//   admin_writers.cc    writers, sessions, holds, settings
//   admin_lost.cc       lost log, where it is            lost_view.cc     what is told of a bundle
//   admin_lag.cc        lagged copies: play-down, extraction   admin_replace.cc  … into the active
//   copy
//   admin_restore.cc    a backup's content for the active copy
//   admin_repositories.cc    the group's repositories   admin_schedules.cc  its schedules
//   admin_recovery.cc        recovery databases         admin_prepare_copy.cc  pages from a backup
//   admin_diagnose.cc        what the path to other servers is like
//   admin_backup_care.cc     pruning, keep marks, restore drills
//   admin_support.cc    what a report about a problem needs
//   admin_scrub.cc      scrubbing, and what other servers fetch to repair damage
// Threading: thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "backup/backup_document.h"
#include "backup/drill.h"
#include "backup/prune.h"
#include "cluster/backup_source.h"
#include "rpc/admin_backend.h"
#include "rpc/admin_client.h"
#include "server/backup_jobs.h"
#include "server/cluster_watch.h"
#include "server/context.h"
#include "server/copy_directory.h"
#include "server/copy_host.h"
#include "server/group_view.h"
#include "server/known_group.h"
#include "server/lost_log.h"
#include "server/point_in_time.h"
#include "server/restore_turns.h"
#include "server/scrub_service.h"
#include "sqlite/row_difference.h"

namespace understudy::server {

// kInvalidArgument when it is none that a copy can have.
base::Result<base::Duration> ReplayLagFrom(int64_t milliseconds);
// Whether the pages of seeds of the copy on `server` may come from the one on `from`.
base::Status CheckSeedFrom(const cluster::DatabaseRecord& record, const std::string& server,
                           const std::string& from);

class Admin final : public rpc::AdminBackend {
 public:
  Admin(const ServerContext& context, CopyHost& host, const GroupCache& cache, BackupJobs& backups,
        v1::HelloResponse hello)
      : context_(context),
        host_(host),
        cache_(cache),
        backups_(backups),
        hello_(std::move(hello)) {}
  // REQUIRES: called before the first call comes in.
  void SetWatch(ClusterWatch& watch) { watch_ = &watch; }
  void SetScrub(ScrubService& scrub) { scrub_ = &scrub; }

  v1::HelloResponse Hello() override { return hello_; }
  base::Result<v1::ListServersResponse> ListServers(const v1::ListServersRequest&) override;
  base::Result<v1::AddDatabaseResponse> AddDatabase(const v1::AddDatabaseRequest&) override;
  base::Result<v1::ListDatabasesResponse> ListDatabases(const v1::ListDatabasesRequest&) override;
  base::Result<v1::RemoveDatabaseResponse> RemoveDatabase(
      const v1::RemoveDatabaseRequest&) override;
  base::Result<v1::StatusResponse> Status(const v1::StatusRequest&) override;
  base::Result<v1::StatusResponse> LocalStatus(const v1::LocalStatusRequest&) override;
  base::Result<v1::AddCopyResponse> AddCopy(const v1::AddCopyRequest&) override;
  base::Result<v1::RemoveCopyResponse> RemoveCopy(const v1::RemoveCopyRequest&) override;
  base::Result<v1::SuspendCopyResponse> SuspendCopy(const v1::SuspendCopyRequest&) override;
  base::Result<v1::ResumeCopyResponse> ResumeCopy(const v1::ResumeCopyRequest&) override;
  base::Result<v1::ReseedCopyResponse> ReseedCopy(const v1::ReseedCopyRequest&) override;
  base::Result<v1::PlayDownCopyResponse> PlayDownCopy(const v1::PlayDownCopyRequest&) override;
  base::Status ActivateCopy(const v1::ActivateCopyRequest&, const rpc::CallContext&,
                            const Sender<v1::ActivateCopyResponse>&) override;
  base::Result<v1::SupportFactsResponse> SupportFacts(const v1::SupportFactsRequest&) override;
  base::Status RestoreInPlace(const v1::RestoreInPlaceRequest&, const rpc::CallContext&,
                              const Sender<v1::RestoreInPlaceResponse>&) override;
  base::Result<v1::ListLostResponse> ListLost(const v1::ListLostRequest&) override;
  base::Result<v1::ShowLostResponse> ShowLost(const v1::ShowLostRequest&) override;
  base::Status ExportLost(const v1::ExportLostRequest&, const rpc::CallContext&,
                          const Sender<v1::ExportLostResponse>&) override;
  base::Result<v1::RemoveLostResponse> RemoveLost(const v1::RemoveLostRequest&) override;
  base::Result<v1::SwitchoverResponse> Switchover(const v1::SwitchoverRequest&) override;
  base::Result<v1::FailoverResponse> Failover(const v1::FailoverRequest&) override;
  base::Result<v1::RelinquishResponse> Relinquish(const v1::RelinquishRequest&) override;
  base::Result<v1::AwaitMountResponse> AwaitMount(const v1::AwaitMountRequest&) override;
  base::Result<v1::SetDatabaseResponse> SetDatabase(const v1::SetDatabaseRequest&) override;
  base::Result<v1::SetCopyResponse> SetCopy(const v1::SetCopyRequest&) override;
  base::Result<v1::SetGroupResponse> SetGroup(const v1::SetGroupRequest&) override;
  base::Result<v1::RebalanceResponse> Rebalance(const v1::RebalanceRequest&) override;
  base::Result<v1::ConfirmResponse> Confirm(const v1::ConfirmRequest&) override;
  base::Result<v1::RebalanceResponse> MoveToPreferred(const std::string& only, bool dry_run,
                                                      bool by_person);
  // Whether this server is the one whose copy is backed up, by `from` or else the group's policy;
  // the same on each server.
  base::Result<bool> IsBackupSource(const cluster::DatabaseRecord& record, const std::string& from);
  // The location of a repository: of a name of the group, of a location, or of the default.
  base::Result<std::string> RepositoryPath(const std::string& asked);
  // For Repository::SetHostLocks.
  std::string HostLocks() const { return env::JoinPath(host_.data_dir(), kHostLocks); }
  base::Result<backup::DrillRecord> Drill(const std::string& repository,
                                          const std::string& database, const std::string& id,
                                          const base::ProgressSink& progress);
  // Rules of 0 and 0: those of the repository.
  base::Result<std::vector<backup::PruneDecision>> Prune(const std::string& repository,
                                                         const std::string& database,
                                                         const backup::PruneOptions& options);
  base::Result<v1::BackupSessionStatus> BeginBackup(const v1::BeginBackupRequest&) override;
  base::Result<v1::BackupSessionStatus> BackupStatus(const v1::BackupStatusRequest&) override;
  base::Result<v1::BackupSessionStatus> EndBackup(const v1::EndBackupRequest&) override;
  base::Result<v1::WritersResponse> Writers(const v1::WritersRequest&) override;
  base::Result<v1::AnnounceBackupResponse> AnnounceBackup(
      const v1::AnnounceBackupRequest&) override;
  base::Result<v1::ExplainBackupResponse> ExplainBackup(const v1::ExplainBackupRequest&) override;
  base::Result<v1::HoldsResponse> Holds(const v1::HoldsRequest&) override;
  base::Result<v1::GetSettingsResponse> GetSettings(const v1::GetSettingsRequest&) override;
  base::Result<v1::GetSettingsResponse> SetSetting(const v1::SetSettingRequest&) override;
  base::Result<v1::MaintenanceResponse> Maintenance(const v1::MaintenanceRequest&) override;
  base::Result<v1::HealthResponse> Health(const v1::HealthRequest&) override;
  base::Result<v1::ScrubResponse> Scrub(const v1::ScrubRequest&) override;
  base::Result<v1::FetchPageResponse> FetchPage(const v1::FetchPageRequest&) override;
  base::Result<v1::FetchGenerationResponse> FetchGeneration(
      const v1::FetchGenerationRequest&) override;
  base::Result<v1::WaitResponse> Wait(const v1::WaitRequest&, const rpc::CallContext&) override;
  base::Status RunBackup(const v1::RunBackupRequest&, const rpc::CallContext&,
                         const Sender<v1::RunBackupResponse>&) override;
  base::Result<v1::PruneBackupsResponse> PruneBackups(const v1::PruneBackupsRequest&) override;
  base::Result<v1::KeepBackupResponse> KeepBackup(const v1::KeepBackupRequest&) override;
  base::Status DrillBackup(const v1::DrillBackupRequest&, const rpc::CallContext&,
                           const Sender<v1::DrillBackupResponse>&) override;
  base::Result<v1::ListRepositoriesResponse> AddRepository(
      const v1::AddRepositoryRequest&) override;
  base::Result<v1::ListRepositoriesResponse> SetRepository(
      const v1::SetRepositoryRequest&) override;
  base::Result<v1::RemoveRepositoryResponse> RemoveRepository(
      const v1::RemoveRepositoryRequest&) override;
  base::Result<v1::ListRepositoriesResponse> ListRepositories(
      const v1::ListRepositoriesRequest&) override;
  base::Result<v1::CheckRepositoryResponse> CheckRepository(
      const v1::CheckRepositoryRequest&) override;
  base::Result<v1::ListSchedulesResponse> AddSchedule(const v1::AddScheduleRequest&) override;
  base::Result<v1::ListSchedulesResponse> SetSchedule(const v1::SetScheduleRequest&) override;
  base::Result<v1::RemoveScheduleResponse> RemoveSchedule(
      const v1::RemoveScheduleRequest&) override;
  base::Result<v1::ListSchedulesResponse> ListSchedules(const v1::ListSchedulesRequest&) override;
  base::Result<v1::ListSchedulesResponse> RunSchedule(const v1::RunScheduleRequest&) override;
  base::Status PrepareCopy(const v1::PrepareCopyRequest&, const rpc::CallContext&,
                           const Sender<v1::PrepareCopyResponse>&) override;
  base::Status CreateRecovery(const v1::CreateRecoveryRequest&, const rpc::CallContext&,
                              const Sender<v1::CreateRecoveryResponse>&) override;
  base::Result<v1::ListRecoveriesResponse> ListRecoveries(
      const v1::ListRecoveriesRequest&) override;
  base::Result<v1::DiffRecoveryResponse> DiffRecovery(const v1::DiffRecoveryRequest&) override;
  base::Result<v1::RemoveRecoveryResponse> RemoveRecovery(
      const v1::RemoveRecoveryRequest&) override;
  base::Status DiagnoseNetwork(const v1::DiagnoseNetworkRequest&, const rpc::CallContext&,
                               const Sender<v1::DiagnoseNetworkResponse>&) override;
  base::Result<v1::ProbeResponse> Probe(const v1::ProbeRequest&) override;
  base::Result<v1::ListBackupsResponse> ListBackups(const v1::ListBackupsRequest&) override;
  base::Result<v1::ShowBackupResponse> ShowBackup(const v1::ShowBackupRequest&) override;
  base::Status VerifyBackup(const v1::VerifyBackupRequest&, const rpc::CallContext&,
                            const Sender<v1::VerifyBackupResponse>&) override;
  base::Status Events(const v1::EventsRequest&, const rpc::CallContext&,
                      const Sender<v1::Event>&) override;

 private:
  base::Status SendLocalEvents(const v1::EventsRequest& request, const Sender<v1::Event>& send);
  base::Status CheckNewDatabase(const v1::AddDatabaseRequest& request);
  base::Status CheckServers(const std::vector<std::string>& names);
  base::Result<v1::DatabaseStatus> StatusOf(const cluster::DatabaseRecord& record,
                                            const std::vector<v1::StatusResponse>& answers,
                                            const std::vector<cluster::ServerRecord>& servers,
                                            const std::vector<cluster::CopyStatusRecord>& last);
  base::Result<std::unique_ptr<rpc::AdminClient>> Dial(const std::string& server) {
    return DialServer(context_, server);
  }
  base::Result<std::string> ChooseTarget(const cluster::DatabaseRecord& record,
                                         const std::string& asked);
  base::Status SetForReseed(PassiveCopy& copy, const v1::ReseedCopyRequest& request);
  base::Status CheckNoBackup(const cluster::DatabaseRecord& record);
  base::Result<v1::SwitchoverResponse> SwitchoverHere(const v1::SwitchoverRequest& request,
                                                      const cluster::DatabaseRecord& record);
  base::Result<v1::WaitResponse> WaitForOwn(PassiveCopy& copy, const v1::WaitRequest& request,
                                            const rpc::CallContext& call);
  base::Result<v1::WaitResponse> WaitHere(ActiveCopy& copy, const v1::WaitRequest& request,
                                          const cluster::DatabaseRecord& record,
                                          const rpc::CallContext& call);
  base::Result<std::shared_ptr<PassiveCopy>> LaggedHere(const std::string& database);
  base::Status ExtractHere(PassiveCopy& copy, const v1::ActivateCopyRequest& request,
                           const rpc::CallContext& call,
                           const Sender<v1::ActivateCopyResponse>& send);
  base::Status SendExtracted(const Extraction& what, const rpc::CallContext& call,
                             const Sender<v1::ActivateCopyResponse>& send);
  base::Status ReplaceActive(const v1::ActivateCopyRequest& request, const rpc::CallContext& call,
                             const Sender<v1::ActivateCopyResponse>& send);
  struct NewContent {
    std::string path;     // of a database that nobody writes
    base::Seq position;   // whose content it is
    base::Seq kept_to;    // what follows is kept nowhere else
    std::string what;     // "that of …"
    std::string kept_in;  // where what is undone is kept
  };
  base::Result<v1::ReplacedContent> ReplaceFrom(ActiveCopy& copy, const NewContent& content);
  base::Status RestoreHere(const v1::RestoreInPlaceRequest& request,
                           const cluster::DatabaseRecord& record, const rpc::CallContext& call,
                           const Sender<v1::RestoreInPlaceResponse>& send);
  base::Status FetchRestored(const v1::RestoreInPlaceRequest& request, const std::string& path,
                             const rpc::CallContext& call,
                             const Sender<v1::RestoreInPlaceResponse>& send);
  base::Status MakeRestored(const v1::RestoreInPlaceRequest& request,
                            const cluster::DatabaseRecord& record, const std::string& path,
                            const rpc::CallContext& call,
                            const Sender<v1::RestoreInPlaceResponse>& send);
  base::Status SendRestored(const v1::RestoreInPlaceRequest& request,
                            const cluster::DatabaseRecord& record, const rpc::CallContext& call,
                            const Sender<v1::RestoreInPlaceResponse>& send);
  base::Result<v1::LostBundle> SaveAfter(PassiveCopy& copy, const LogPoint& point,
                                         std::shared_ptr<log::LogStore> log,
                                         const std::string& database_path);
  base::Result<std::string> ServerOfLost(const v1::LostName& name);
  base::Result<LostBundle> LostHere(const v1::LostName& name);
  base::Status CompareWithCopy(const LostBundle& bundle, uint32_t rows_max,
                               v1::ShowLostResponse& to);
  // Of the copy of that database here; at: what it had replayed before.
  base::Result<std::vector<sqlite::TableDifference>> CompareWithCopyOf(const std::string& database,
                                                                       base::DatabaseId id,
                                                                       const std::string& path,
                                                                       uint32_t rows_max,
                                                                       v1::Position& at);
  base::Result<v1::Backup> PrepareCopyHere(const v1::PrepareCopyRequest& request,
                                           const base::ProgressSink& progress);
  base::Result<v1::Recovery> FindRecovery(const std::string& name, const std::string& server);
  base::Result<v1::Recovery> CreateRecoveryHere(const v1::CreateRecoveryRequest& request,
                                                const base::ProgressSink& progress);
  struct ChosenSource {
    std::string server;
    std::string why;  // a sentence
    cluster::SourcePolicy policy;
    cluster::SourceChoice choice;  // empty when the policy names one copy
  };
  base::Result<cluster::SourcePolicy> PolicyOf(const std::string& from, KnownGroup& group);
  bool MayMoveBackup(const std::string& from);
  base::Result<std::vector<cluster::SourceView>> SourceViews(const cluster::DatabaseRecord& record,
                                                             KnownGroup& group);
  base::Result<ChosenSource> ChooseBackupSource(const std::string& database,
                                                const std::string& from);
  base::Result<std::string> ChooseBackupServer(const std::string& database,
                                               const std::string& from);
  base::Status RunBackupHere(const v1::RunBackupRequest& request, const rpc::CallContext& call,
                             const Sender<v1::RunBackupResponse>& send);
  base::Status ForwardBackup(const std::string& server, const v1::RunBackupRequest& request,
                             const rpc::CallContext& call,
                             const Sender<v1::RunBackupResponse>& send);
  base::Status FollowBackup(const std::string& server, const std::string& session,
                            const v1::RunBackupRequest& request, const rpc::CallContext& call,
                            const Sender<v1::RunBackupResponse>& send);
  base::Status FinishFollowed(rpc::AdminClient& client, const v1::BackupSessionStatus& status,
                              const v1::RunBackupRequest& request,
                              const Sender<v1::RunBackupResponse>& send);
  base::Result<cluster::RepositoryRecord> FindRepository(const std::string& name);
  base::Status CheckRecord(const cluster::RepositoryRecord& record);
  base::Result<cluster::ScheduleRecord> ToRecord(const v1::Schedule& schedule);
  base::Status CheckSchedule(const cluster::ScheduleRecord& record);
  base::Result<std::vector<v1::NetworkPath>> PathsTo(const std::string& to);
  base::Status DiagnoseHere(const v1::DiagnoseNetworkRequest& request, const rpc::CallContext& call,
                            const Sender<v1::DiagnoseNetworkResponse>& send);
  v1::RepositoryCheck CheckRepositoryHere(const std::string& location);
  void AwaitSettings(const cluster::GroupSettings& settings);

  const ServerContext context_;
  CopyHost& host_;
  const GroupCache& cache_;
  BackupJobs& backups_;
  const v1::HelloResponse hello_;
  ClusterWatch* watch_ = nullptr;
  ScrubService* scrub_ = nullptr;
  RestoreTurns restores_;
  std::atomic<bool> diagnosing_ = false;
};

}  // namespace understudy::server
