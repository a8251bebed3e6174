// SPDX-License-Identifier: Apache-2.0
// AdminClient: calls a server's Admin service; used by the command and by servers asking each
// other.
//
// Connect says Hello within its timeout and refuses a server of another protocol version.
// kUnavailable or kTimedOut from Connect means "not reachable" (exit code 3 of the command);
// failures of later calls carry the server's own code, message and, as a second line of the
// message, its hint. Threading: thread-safe. No grpc header is needed to use it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "rpc/channel_security.h"
#include "rpc/dialer.h"
#include "rpc/protocol.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::rpc {

class AdminClient {
 public:
  // `address` is "host:port" or "unix:/path".
  static base::Result<std::unique_ptr<AdminClient>> Connect(
      const std::string& address, base::Duration timeout = kConnectTimeoutDefault,
      const ChannelSecurity& security = {});
  // Over something else than gRPC, for the simulator. Streams are refused there.
  static std::unique_ptr<AdminClient> Over(std::unique_ptr<CallCarrier> carrier,
                                           const std::string& address, v1::HelloResponse hello);
  ~AdminClient();
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  const std::string& address() const;
  const v1::HelloResponse& hello() const;  // the server's name and version

  // Gets each message of a stream; false ends the call with kCancelled.
  template <typename Message>
  using Receiver = std::function<bool(const Message&)>;

  // `timeout` bounds the whole call.
  base::Result<v1::ListServersResponse> ListServers(const v1::ListServersRequest& request,
                                                    base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::AddDatabaseResponse> AddDatabase(const v1::AddDatabaseRequest& request,
                                                    base::Duration timeout = kLongCallTimeout);
  base::Result<v1::ListDatabasesResponse> ListDatabases(
      const v1::ListDatabasesRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RemoveDatabaseResponse> RemoveDatabase(
      const v1::RemoveDatabaseRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::StatusResponse> Status(const v1::StatusRequest& request,
                                          base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::StatusResponse> LocalStatus(const v1::LocalStatusRequest& request,
                                               base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::AddCopyResponse> AddCopy(const v1::AddCopyRequest& request,
                                            base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RemoveCopyResponse> RemoveCopy(const v1::RemoveCopyRequest& request,
                                                  base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::SuspendCopyResponse> SuspendCopy(const v1::SuspendCopyRequest& request,
                                                    base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ResumeCopyResponse> ResumeCopy(const v1::ResumeCopyRequest& request,
                                                  base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ReseedCopyResponse> ReseedCopy(const v1::ReseedCopyRequest& request,
                                                  base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::PlayDownCopyResponse> PlayDownCopy(const v1::PlayDownCopyRequest& request,
                                                      base::Duration timeout = kLongCallTimeout);
  base::Result<v1::SupportFactsResponse> SupportFacts(const v1::SupportFactsRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);
  // No deadline, as RunBackup.
  base::Status ActivateCopy(const v1::ActivateCopyRequest& request,
                            const Receiver<v1::ActivateCopyResponse>& receive);
  base::Status RestoreInPlace(const v1::RestoreInPlaceRequest& request,
                              const Receiver<v1::RestoreInPlaceResponse>& receive);
  base::Result<v1::ListLostResponse> ListLost(const v1::ListLostRequest& request,
                                              base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ShowLostResponse> ShowLost(const v1::ShowLostRequest& request,
                                              base::Duration timeout = kLongCallTimeout);
  base::Status ExportLost(const v1::ExportLostRequest& request,
                          const Receiver<v1::ExportLostResponse>& receive);
  base::Result<v1::RemoveLostResponse> RemoveLost(const v1::RemoveLostRequest& request,
                                                  base::Duration timeout = kLongCallTimeout);
  base::Result<v1::SwitchoverResponse> Switchover(const v1::SwitchoverRequest& request,
                                                  base::Duration timeout = kLongCallTimeout);
  base::Result<v1::FailoverResponse> Failover(const v1::FailoverRequest& request,
                                              base::Duration timeout = kLongCallTimeout);
  base::Result<v1::RelinquishResponse> Relinquish(const v1::RelinquishRequest& request,
                                                  base::Duration timeout = kLongCallTimeout);
  base::Result<v1::AwaitMountResponse> AwaitMount(const v1::AwaitMountRequest& request,
                                                  base::Duration timeout = kLongCallTimeout);
  base::Result<v1::SetDatabaseResponse> SetDatabase(const v1::SetDatabaseRequest& request,
                                                    base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::SetCopyResponse> SetCopy(const v1::SetCopyRequest& request,
                                            base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::SetGroupResponse> SetGroup(const v1::SetGroupRequest& request,
                                              base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RebalanceResponse> Rebalance(const v1::RebalanceRequest& request,
                                                base::Duration timeout = kLongCallTimeout);
  base::Result<v1::ConfirmResponse> Confirm(const v1::ConfirmRequest& request,
                                            base::Duration timeout);
  base::Result<v1::BackupSessionStatus> BeginBackup(const v1::BeginBackupRequest& request,
                                                    base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::BackupSessionStatus> BackupStatus(const v1::BackupStatusRequest& request,
                                                     base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::BackupSessionStatus> EndBackup(const v1::EndBackupRequest& request,
                                                  base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::WritersResponse> Writers(const v1::WritersRequest& request,
                                            base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::AnnounceBackupResponse> AnnounceBackup(const v1::AnnounceBackupRequest& request,
                                                          base::Duration timeout);
  base::Result<v1::ExplainBackupResponse> ExplainBackup(const v1::ExplainBackupRequest& request,
                                                        base::Duration timeout);
  base::Result<v1::HoldsResponse> Holds(const v1::HoldsRequest& request,
                                        base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::PruneBackupsResponse> PruneBackups(const v1::PruneBackupsRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::KeepBackupResponse> KeepBackup(const v1::KeepBackupRequest& request,
                                                  base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListRepositoriesResponse> AddRepository(
      const v1::AddRepositoryRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListRepositoriesResponse> SetRepository(
      const v1::SetRepositoryRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RemoveRepositoryResponse> RemoveRepository(
      const v1::RemoveRepositoryRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListRepositoriesResponse> ListRepositories(
      const v1::ListRepositoriesRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::CheckRepositoryResponse> CheckRepository(
      const v1::CheckRepositoryRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListSchedulesResponse> AddSchedule(const v1::AddScheduleRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListSchedulesResponse> SetSchedule(const v1::SetScheduleRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RemoveScheduleResponse> RemoveSchedule(
      const v1::RemoveScheduleRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListSchedulesResponse> ListSchedules(
      const v1::ListSchedulesRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListSchedulesResponse> RunSchedule(const v1::RunScheduleRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::GetSettingsResponse> GetSettings(const v1::GetSettingsRequest& request,
                                                    base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::GetSettingsResponse> SetSetting(const v1::SetSettingRequest& request,
                                                   base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::MaintenanceResponse> Maintenance(const v1::MaintenanceRequest& request,
                                                    base::Duration timeout = kLongCallTimeout);
  base::Result<v1::HealthResponse> Health(const v1::HealthRequest& request,
                                          base::Duration timeout = kLongCallTimeout);
  base::Result<v1::ScrubResponse> Scrub(const v1::ScrubRequest& request,
                                        base::Duration timeout = kLongCallTimeout);
  base::Result<v1::FetchPageResponse> FetchPage(const v1::FetchPageRequest& request,
                                                base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::FetchGenerationResponse> FetchGeneration(
      const v1::FetchGenerationRequest& request, base::Duration timeout = kCallTimeoutDefault);
  // The call's own deadline is request.timeout_ms and some seconds.
  base::Result<v1::WaitResponse> Wait(const v1::WaitRequest& request);
  // No deadline: keepalive finds a server that is gone.
  base::Status RunBackup(const v1::RunBackupRequest& request,
                         const Receiver<v1::RunBackupResponse>& receive);
  base::Result<v1::ListBackupsResponse> ListBackups(const v1::ListBackupsRequest& request,
                                                    base::Duration timeout = kLongCallTimeout);
  base::Result<v1::ShowBackupResponse> ShowBackup(const v1::ShowBackupRequest& request,
                                                  base::Duration timeout = kLongCallTimeout);
  base::Status VerifyBackup(const v1::VerifyBackupRequest& request,
                            const Receiver<v1::VerifyBackupResponse>& receive);
  base::Status PrepareCopy(const v1::PrepareCopyRequest& request,
                           const Receiver<v1::PrepareCopyResponse>& receive);
  base::Status CreateRecovery(const v1::CreateRecoveryRequest& request,
                              const Receiver<v1::CreateRecoveryResponse>& receive);
  base::Result<v1::ListRecoveriesResponse> ListRecoveries(
      const v1::ListRecoveriesRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::DiffRecoveryResponse> DiffRecovery(const v1::DiffRecoveryRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RemoveRecoveryResponse> RemoveRecovery(
      const v1::RemoveRecoveryRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Status DiagnoseNetwork(const v1::DiagnoseNetworkRequest& request,
                               const Receiver<v1::DiagnoseNetworkResponse>& receive);
  base::Result<v1::ProbeResponse> Probe(const v1::ProbeRequest& request,
                                        base::Duration timeout = kCallTimeoutDefault);
  base::Status DrillBackup(const v1::DrillBackupRequest& request,
                           const Receiver<v1::DrillBackupResponse>& receive);
  base::Status Events(const v1::EventsRequest& request, const Receiver<v1::Event>& receive);

 private:
  struct State;
  explicit AdminClient(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::rpc
