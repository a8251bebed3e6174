// SPDX-License-Identifier: Apache-2.0
// AdminBackend: what the Admin service asks of the server; implemented in src/server/.
//
// It speaks the messages of proto/understudy/v1/admin.proto, so that nothing is spelled three
// times; grpc itself stays in src/rpc/. Errors: a Status whose message may have a second line, the
// hint. Threading: every method may be called from several gRPC threads at once.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::rpc {

// Who calls, and whether an answer is still wanted.
struct CallContext {
  std::string peer;                 // "ipv4:127.0.0.1:40000"
  std::function<bool()> cancelled;  // the client went away or its deadline has passed
};

class AdminBackend {
 public:
  virtual ~AdminBackend() = default;

  // Sends one message of a stream; false when the client is gone.
  template <typename Message>
  using Sender = std::function<bool(const Message&)>;

  virtual v1::HelloResponse Hello() = 0;
  virtual base::Result<v1::ListServersResponse> ListServers(const v1::ListServersRequest&) = 0;
  virtual base::Result<v1::AddDatabaseResponse> AddDatabase(const v1::AddDatabaseRequest&) = 0;
  virtual base::Result<v1::ListDatabasesResponse> ListDatabases(
      const v1::ListDatabasesRequest&) = 0;
  virtual base::Result<v1::RemoveDatabaseResponse> RemoveDatabase(
      const v1::RemoveDatabaseRequest&) = 0;
  virtual base::Result<v1::StatusResponse> Status(const v1::StatusRequest&) = 0;
  virtual base::Result<v1::StatusResponse> LocalStatus(const v1::LocalStatusRequest&) = 0;
  virtual base::Result<v1::AddCopyResponse> AddCopy(const v1::AddCopyRequest&) = 0;
  virtual base::Result<v1::RemoveCopyResponse> RemoveCopy(const v1::RemoveCopyRequest&) = 0;
  virtual base::Result<v1::SuspendCopyResponse> SuspendCopy(const v1::SuspendCopyRequest&) = 0;
  virtual base::Result<v1::ResumeCopyResponse> ResumeCopy(const v1::ResumeCopyRequest&) = 0;
  virtual base::Result<v1::ReseedCopyResponse> ReseedCopy(const v1::ReseedCopyRequest&) = 0;
  virtual base::Result<v1::PlayDownCopyResponse> PlayDownCopy(const v1::PlayDownCopyRequest&) = 0;
  virtual base::Status ActivateCopy(const v1::ActivateCopyRequest&, const CallContext&,
                                    const Sender<v1::ActivateCopyResponse>&) = 0;
  virtual base::Result<v1::SupportFactsResponse> SupportFacts(const v1::SupportFactsRequest&) = 0;
  virtual base::Status RestoreInPlace(const v1::RestoreInPlaceRequest&, const CallContext&,
                                      const Sender<v1::RestoreInPlaceResponse>&) = 0;
  virtual base::Result<v1::ListLostResponse> ListLost(const v1::ListLostRequest&) = 0;
  virtual base::Result<v1::ShowLostResponse> ShowLost(const v1::ShowLostRequest&) = 0;
  virtual base::Status ExportLost(const v1::ExportLostRequest&, const CallContext&,
                                  const Sender<v1::ExportLostResponse>&) = 0;
  virtual base::Result<v1::RemoveLostResponse> RemoveLost(const v1::RemoveLostRequest&) = 0;
  virtual base::Result<v1::SwitchoverResponse> Switchover(const v1::SwitchoverRequest&) = 0;
  virtual base::Result<v1::FailoverResponse> Failover(const v1::FailoverRequest&) = 0;
  virtual base::Result<v1::RelinquishResponse> Relinquish(const v1::RelinquishRequest&) = 0;
  virtual base::Result<v1::AwaitMountResponse> AwaitMount(const v1::AwaitMountRequest&) = 0;
  virtual base::Result<v1::SetDatabaseResponse> SetDatabase(const v1::SetDatabaseRequest&) = 0;
  virtual base::Result<v1::SetCopyResponse> SetCopy(const v1::SetCopyRequest&) = 0;
  virtual base::Result<v1::SetGroupResponse> SetGroup(const v1::SetGroupRequest&) = 0;
  virtual base::Result<v1::RebalanceResponse> Rebalance(const v1::RebalanceRequest&) = 0;
  virtual base::Result<v1::ConfirmResponse> Confirm(const v1::ConfirmRequest&) = 0;
  virtual base::Result<v1::BackupSessionStatus> BeginBackup(const v1::BeginBackupRequest&) = 0;
  virtual base::Result<v1::BackupSessionStatus> BackupStatus(const v1::BackupStatusRequest&) = 0;
  virtual base::Result<v1::BackupSessionStatus> EndBackup(const v1::EndBackupRequest&) = 0;
  virtual base::Result<v1::WritersResponse> Writers(const v1::WritersRequest&) = 0;
  virtual base::Result<v1::AnnounceBackupResponse> AnnounceBackup(
      const v1::AnnounceBackupRequest&) = 0;
  virtual base::Result<v1::ExplainBackupResponse> ExplainBackup(
      const v1::ExplainBackupRequest&) = 0;
  virtual base::Result<v1::HoldsResponse> Holds(const v1::HoldsRequest&) = 0;
  virtual base::Result<v1::GetSettingsResponse> GetSettings(const v1::GetSettingsRequest&) = 0;
  virtual base::Result<v1::GetSettingsResponse> SetSetting(const v1::SetSettingRequest&) = 0;
  virtual base::Result<v1::MaintenanceResponse> Maintenance(const v1::MaintenanceRequest&) = 0;
  virtual base::Result<v1::HealthResponse> Health(const v1::HealthRequest&) = 0;
  virtual base::Result<v1::ScrubResponse> Scrub(const v1::ScrubRequest&) = 0;
  virtual base::Result<v1::FetchPageResponse> FetchPage(const v1::FetchPageRequest&) = 0;
  virtual base::Result<v1::FetchGenerationResponse> FetchGeneration(
      const v1::FetchGenerationRequest&) = 0;
  virtual base::Result<v1::WaitResponse> Wait(const v1::WaitRequest&, const CallContext&) = 0;
  virtual base::Status RunBackup(const v1::RunBackupRequest&, const CallContext&,
                                 const Sender<v1::RunBackupResponse>&) = 0;
  virtual base::Result<v1::ListBackupsResponse> ListBackups(const v1::ListBackupsRequest&) = 0;
  virtual base::Result<v1::ShowBackupResponse> ShowBackup(const v1::ShowBackupRequest&) = 0;
  virtual base::Status VerifyBackup(const v1::VerifyBackupRequest&, const CallContext&,
                                    const Sender<v1::VerifyBackupResponse>&) = 0;
  virtual base::Result<v1::PruneBackupsResponse> PruneBackups(const v1::PruneBackupsRequest&) = 0;
  virtual base::Result<v1::KeepBackupResponse> KeepBackup(const v1::KeepBackupRequest&) = 0;
  virtual base::Result<v1::ListRepositoriesResponse> AddRepository(
      const v1::AddRepositoryRequest&) = 0;
  virtual base::Result<v1::ListRepositoriesResponse> SetRepository(
      const v1::SetRepositoryRequest&) = 0;
  virtual base::Result<v1::RemoveRepositoryResponse> RemoveRepository(
      const v1::RemoveRepositoryRequest&) = 0;
  virtual base::Result<v1::ListRepositoriesResponse> ListRepositories(
      const v1::ListRepositoriesRequest&) = 0;
  virtual base::Result<v1::CheckRepositoryResponse> CheckRepository(
      const v1::CheckRepositoryRequest&) = 0;
  virtual base::Result<v1::ListSchedulesResponse> AddSchedule(const v1::AddScheduleRequest&) = 0;
  virtual base::Result<v1::ListSchedulesResponse> SetSchedule(const v1::SetScheduleRequest&) = 0;
  virtual base::Result<v1::RemoveScheduleResponse> RemoveSchedule(
      const v1::RemoveScheduleRequest&) = 0;
  virtual base::Result<v1::ListSchedulesResponse> ListSchedules(
      const v1::ListSchedulesRequest&) = 0;
  virtual base::Result<v1::ListSchedulesResponse> RunSchedule(const v1::RunScheduleRequest&) = 0;
  virtual base::Status DrillBackup(const v1::DrillBackupRequest&, const CallContext&,
                                   const Sender<v1::DrillBackupResponse>&) = 0;
  virtual base::Status DiagnoseNetwork(const v1::DiagnoseNetworkRequest&, const CallContext&,
                                       const Sender<v1::DiagnoseNetworkResponse>&) = 0;
  virtual base::Result<v1::ProbeResponse> Probe(const v1::ProbeRequest&) = 0;
  virtual base::Status CreateRecovery(const v1::CreateRecoveryRequest&, const CallContext&,
                                      const Sender<v1::CreateRecoveryResponse>&) = 0;
  virtual base::Result<v1::ListRecoveriesResponse> ListRecoveries(
      const v1::ListRecoveriesRequest&) = 0;
  virtual base::Result<v1::DiffRecoveryResponse> DiffRecovery(const v1::DiffRecoveryRequest&) = 0;
  virtual base::Result<v1::RemoveRecoveryResponse> RemoveRecovery(
      const v1::RemoveRecoveryRequest&) = 0;
  virtual base::Status PrepareCopy(const v1::PrepareCopyRequest&, const CallContext&,
                                   const Sender<v1::PrepareCopyResponse>&) = 0;
  virtual base::Status Events(const v1::EventsRequest&, const CallContext&,
                              const Sender<v1::Event>&) = 0;
};

}  // namespace understudy::rpc
