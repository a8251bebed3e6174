// SPDX-License-Identifier: Apache-2.0
#include "rpc/admin_service.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <utility>

#include "rpc/protocol.h"
#include "rpc/status_codec.h"
#include "understudy/v1/admin.grpc.pb.h"

namespace understudy::rpc {
namespace {

template <typename Response>
grpc::Status Give(base::Result<Response> result, Response* response) {
  if (!result.ok()) return ToGrpc(result.status());
  *response = std::move(result).value();
  return grpc::Status::OK;
}

class AdminService final : public v1::Admin::Service {
 public:
  AdminService(AdminBackend& backend, IsWelcomeStill welcome)
      : backend_(backend), welcome_(std::move(welcome)) {}

  grpc::Status Hello(grpc::ServerContext*, const v1::HelloRequest* request,
                     v1::HelloResponse* response) override {
    *response = backend_.Hello();
    if (request->protocol_version() == kAdminProtocolVersion) return grpc::Status::OK;
    return ToGrpc(base::InvalidArgument(
        fmt::format("server {} (version {}) speaks admin protocol {}, the client (version {}) "
                    "speaks {}\nuse the command of the server's version",
                    response->server(), kVersion, kAdminProtocolVersion, request->client_version(),
                    request->protocol_version())));
  }
  grpc::Status ListServers(grpc::ServerContext*, const v1::ListServersRequest* request,
                           v1::ListServersResponse* response) override {
    return Give(backend_.ListServers(*request), response);
  }
  grpc::Status AddDatabase(grpc::ServerContext*, const v1::AddDatabaseRequest* request,
                           v1::AddDatabaseResponse* response) override {
    return Give(backend_.AddDatabase(*request), response);
  }
  grpc::Status ListDatabases(grpc::ServerContext*, const v1::ListDatabasesRequest* request,
                             v1::ListDatabasesResponse* response) override {
    return Give(backend_.ListDatabases(*request), response);
  }
  grpc::Status RemoveDatabase(grpc::ServerContext*, const v1::RemoveDatabaseRequest* request,
                              v1::RemoveDatabaseResponse* response) override {
    return Give(backend_.RemoveDatabase(*request), response);
  }
  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest* request,
                      v1::StatusResponse* response) override {
    return Give(backend_.Status(*request), response);
  }
  grpc::Status LocalStatus(grpc::ServerContext*, const v1::LocalStatusRequest* request,
                           v1::StatusResponse* response) override {
    return Give(backend_.LocalStatus(*request), response);
  }
  grpc::Status AddCopy(grpc::ServerContext*, const v1::AddCopyRequest* request,
                       v1::AddCopyResponse* response) override {
    return Give(backend_.AddCopy(*request), response);
  }
  grpc::Status RemoveCopy(grpc::ServerContext*, const v1::RemoveCopyRequest* request,
                          v1::RemoveCopyResponse* response) override {
    return Give(backend_.RemoveCopy(*request), response);
  }
  grpc::Status SuspendCopy(grpc::ServerContext*, const v1::SuspendCopyRequest* request,
                           v1::SuspendCopyResponse* response) override {
    return Give(backend_.SuspendCopy(*request), response);
  }
  grpc::Status ResumeCopy(grpc::ServerContext*, const v1::ResumeCopyRequest* request,
                          v1::ResumeCopyResponse* response) override {
    return Give(backend_.ResumeCopy(*request), response);
  }
  grpc::Status ReseedCopy(grpc::ServerContext*, const v1::ReseedCopyRequest* request,
                          v1::ReseedCopyResponse* response) override {
    return Give(backend_.ReseedCopy(*request), response);
  }
  grpc::Status PlayDownCopy(grpc::ServerContext*, const v1::PlayDownCopyRequest* request,
                            v1::PlayDownCopyResponse* response) override {
    return Give(backend_.PlayDownCopy(*request), response);
  }
  grpc::Status SupportFacts(grpc::ServerContext*, const v1::SupportFactsRequest* request,
                            v1::SupportFactsResponse* response) override {
    return Give(backend_.SupportFacts(*request), response);
  }
  grpc::Status RestoreInPlace(grpc::ServerContext* context,
                              const v1::RestoreInPlaceRequest* request,
                              grpc::ServerWriter<v1::RestoreInPlaceResponse>* writer) override {
    return ToGrpc(backend_.RestoreInPlace(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status ActivateCopy(grpc::ServerContext* context, const v1::ActivateCopyRequest* request,
                            grpc::ServerWriter<v1::ActivateCopyResponse>* writer) override {
    return ToGrpc(backend_.ActivateCopy(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status ListLost(grpc::ServerContext*, const v1::ListLostRequest* request,
                        v1::ListLostResponse* response) override {
    return Give(backend_.ListLost(*request), response);
  }
  grpc::Status ShowLost(grpc::ServerContext*, const v1::ShowLostRequest* request,
                        v1::ShowLostResponse* response) override {
    return Give(backend_.ShowLost(*request), response);
  }
  grpc::Status RemoveLost(grpc::ServerContext*, const v1::RemoveLostRequest* request,
                          v1::RemoveLostResponse* response) override {
    return Give(backend_.RemoveLost(*request), response);
  }
  grpc::Status ExportLost(grpc::ServerContext* context, const v1::ExportLostRequest* request,
                          grpc::ServerWriter<v1::ExportLostResponse>* writer) override {
    return ToGrpc(backend_.ExportLost(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status ListBackups(grpc::ServerContext*, const v1::ListBackupsRequest* request,
                           v1::ListBackupsResponse* response) override {
    return Give(backend_.ListBackups(*request), response);
  }
  grpc::Status ShowBackup(grpc::ServerContext*, const v1::ShowBackupRequest* request,
                          v1::ShowBackupResponse* response) override {
    return Give(backend_.ShowBackup(*request), response);
  }
  grpc::Status Switchover(grpc::ServerContext*, const v1::SwitchoverRequest* request,
                          v1::SwitchoverResponse* response) override {
    return Give(backend_.Switchover(*request), response);
  }
  grpc::Status Failover(grpc::ServerContext*, const v1::FailoverRequest* request,
                        v1::FailoverResponse* response) override {
    return Give(backend_.Failover(*request), response);
  }
  grpc::Status Relinquish(grpc::ServerContext*, const v1::RelinquishRequest* request,
                          v1::RelinquishResponse* response) override {
    return Give(backend_.Relinquish(*request), response);
  }
  grpc::Status AwaitMount(grpc::ServerContext*, const v1::AwaitMountRequest* request,
                          v1::AwaitMountResponse* response) override {
    return Give(backend_.AwaitMount(*request), response);
  }
  grpc::Status SetDatabase(grpc::ServerContext*, const v1::SetDatabaseRequest* request,
                           v1::SetDatabaseResponse* response) override {
    return Give(backend_.SetDatabase(*request), response);
  }
  grpc::Status SetCopy(grpc::ServerContext*, const v1::SetCopyRequest* request,
                       v1::SetCopyResponse* response) override {
    return Give(backend_.SetCopy(*request), response);
  }
  grpc::Status SetGroup(grpc::ServerContext*, const v1::SetGroupRequest* request,
                        v1::SetGroupResponse* response) override {
    return Give(backend_.SetGroup(*request), response);
  }
  grpc::Status Rebalance(grpc::ServerContext*, const v1::RebalanceRequest* request,
                         v1::RebalanceResponse* response) override {
    return Give(backend_.Rebalance(*request), response);
  }
  grpc::Status Confirm(grpc::ServerContext*, const v1::ConfirmRequest* request,
                       v1::ConfirmResponse* response) override {
    return Give(backend_.Confirm(*request), response);
  }
  grpc::Status BeginBackup(grpc::ServerContext*, const v1::BeginBackupRequest* request,
                           v1::BackupSessionStatus* response) override {
    return Give(backend_.BeginBackup(*request), response);
  }
  grpc::Status BackupStatus(grpc::ServerContext*, const v1::BackupStatusRequest* request,
                            v1::BackupSessionStatus* response) override {
    return Give(backend_.BackupStatus(*request), response);
  }
  grpc::Status EndBackup(grpc::ServerContext*, const v1::EndBackupRequest* request,
                         v1::BackupSessionStatus* response) override {
    return Give(backend_.EndBackup(*request), response);
  }
  grpc::Status Writers(grpc::ServerContext*, const v1::WritersRequest* request,
                       v1::WritersResponse* response) override {
    return Give(backend_.Writers(*request), response);
  }
  grpc::Status AnnounceBackup(grpc::ServerContext*, const v1::AnnounceBackupRequest* request,
                              v1::AnnounceBackupResponse* response) override {
    return Give(backend_.AnnounceBackup(*request), response);
  }
  grpc::Status ExplainBackup(grpc::ServerContext*, const v1::ExplainBackupRequest* request,
                             v1::ExplainBackupResponse* response) override {
    return Give(backend_.ExplainBackup(*request), response);
  }
  grpc::Status Holds(grpc::ServerContext*, const v1::HoldsRequest* request,
                     v1::HoldsResponse* response) override {
    return Give(backend_.Holds(*request), response);
  }
  grpc::Status PruneBackups(grpc::ServerContext*, const v1::PruneBackupsRequest* request,
                            v1::PruneBackupsResponse* response) override {
    return Give(backend_.PruneBackups(*request), response);
  }
  grpc::Status KeepBackup(grpc::ServerContext*, const v1::KeepBackupRequest* request,
                          v1::KeepBackupResponse* response) override {
    return Give(backend_.KeepBackup(*request), response);
  }
  grpc::Status AddRepository(grpc::ServerContext*, const v1::AddRepositoryRequest* request,
                             v1::ListRepositoriesResponse* response) override {
    return Give(backend_.AddRepository(*request), response);
  }
  grpc::Status SetRepository(grpc::ServerContext*, const v1::SetRepositoryRequest* request,
                             v1::ListRepositoriesResponse* response) override {
    return Give(backend_.SetRepository(*request), response);
  }
  grpc::Status RemoveRepository(grpc::ServerContext*, const v1::RemoveRepositoryRequest* request,
                                v1::RemoveRepositoryResponse* response) override {
    return Give(backend_.RemoveRepository(*request), response);
  }
  grpc::Status ListRepositories(grpc::ServerContext*, const v1::ListRepositoriesRequest* request,
                                v1::ListRepositoriesResponse* response) override {
    return Give(backend_.ListRepositories(*request), response);
  }
  grpc::Status CheckRepository(grpc::ServerContext*, const v1::CheckRepositoryRequest* request,
                               v1::CheckRepositoryResponse* response) override {
    return Give(backend_.CheckRepository(*request), response);
  }
  grpc::Status AddSchedule(grpc::ServerContext*, const v1::AddScheduleRequest* request,
                           v1::ListSchedulesResponse* response) override {
    return Give(backend_.AddSchedule(*request), response);
  }
  grpc::Status SetSchedule(grpc::ServerContext*, const v1::SetScheduleRequest* request,
                           v1::ListSchedulesResponse* response) override {
    return Give(backend_.SetSchedule(*request), response);
  }
  grpc::Status RemoveSchedule(grpc::ServerContext*, const v1::RemoveScheduleRequest* request,
                              v1::RemoveScheduleResponse* response) override {
    return Give(backend_.RemoveSchedule(*request), response);
  }
  grpc::Status ListSchedules(grpc::ServerContext*, const v1::ListSchedulesRequest* request,
                             v1::ListSchedulesResponse* response) override {
    return Give(backend_.ListSchedules(*request), response);
  }
  grpc::Status RunSchedule(grpc::ServerContext*, const v1::RunScheduleRequest* request,
                           v1::ListSchedulesResponse* response) override {
    return Give(backend_.RunSchedule(*request), response);
  }
  grpc::Status GetSettings(grpc::ServerContext*, const v1::GetSettingsRequest* request,
                           v1::GetSettingsResponse* response) override {
    return Give(backend_.GetSettings(*request), response);
  }
  grpc::Status SetSetting(grpc::ServerContext*, const v1::SetSettingRequest* request,
                          v1::GetSettingsResponse* response) override {
    return Give(backend_.SetSetting(*request), response);
  }
  grpc::Status Maintenance(grpc::ServerContext*, const v1::MaintenanceRequest* request,
                           v1::MaintenanceResponse* response) override {
    return Give(backend_.Maintenance(*request), response);
  }
  grpc::Status Health(grpc::ServerContext*, const v1::HealthRequest* request,
                      v1::HealthResponse* response) override {
    return Give(backend_.Health(*request), response);
  }
  grpc::Status Scrub(grpc::ServerContext*, const v1::ScrubRequest* request,
                     v1::ScrubResponse* response) override {
    return Give(backend_.Scrub(*request), response);
  }
  grpc::Status FetchPage(grpc::ServerContext*, const v1::FetchPageRequest* request,
                         v1::FetchPageResponse* response) override {
    return Give(backend_.FetchPage(*request), response);
  }
  grpc::Status FetchGeneration(grpc::ServerContext*, const v1::FetchGenerationRequest* request,
                               v1::FetchGenerationResponse* response) override {
    return Give(backend_.FetchGeneration(*request), response);
  }
  grpc::Status Wait(grpc::ServerContext* context, const v1::WaitRequest* request,
                    v1::WaitResponse* response) override {
    return Give(backend_.Wait(*request, ContextOf(context)), response);
  }
  grpc::Status RunBackup(grpc::ServerContext* context, const v1::RunBackupRequest* request,
                         grpc::ServerWriter<v1::RunBackupResponse>* writer) override {
    return ToGrpc(backend_.RunBackup(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status VerifyBackup(grpc::ServerContext* context, const v1::VerifyBackupRequest* request,
                            grpc::ServerWriter<v1::VerifyBackupResponse>* writer) override {
    return ToGrpc(backend_.VerifyBackup(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status PrepareCopy(grpc::ServerContext* context, const v1::PrepareCopyRequest* request,
                           grpc::ServerWriter<v1::PrepareCopyResponse>* writer) override {
    return ToGrpc(backend_.PrepareCopy(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status CreateRecovery(grpc::ServerContext* context,
                              const v1::CreateRecoveryRequest* request,
                              grpc::ServerWriter<v1::CreateRecoveryResponse>* writer) override {
    return ToGrpc(backend_.CreateRecovery(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status ListRecoveries(grpc::ServerContext*, const v1::ListRecoveriesRequest* request,
                              v1::ListRecoveriesResponse* response) override {
    return Give(backend_.ListRecoveries(*request), response);
  }
  grpc::Status DiffRecovery(grpc::ServerContext*, const v1::DiffRecoveryRequest* request,
                            v1::DiffRecoveryResponse* response) override {
    return Give(backend_.DiffRecovery(*request), response);
  }
  grpc::Status RemoveRecovery(grpc::ServerContext*, const v1::RemoveRecoveryRequest* request,
                              v1::RemoveRecoveryResponse* response) override {
    return Give(backend_.RemoveRecovery(*request), response);
  }
  grpc::Status DiagnoseNetwork(grpc::ServerContext* context,
                               const v1::DiagnoseNetworkRequest* request,
                               grpc::ServerWriter<v1::DiagnoseNetworkResponse>* writer) override {
    return ToGrpc(
        backend_.DiagnoseNetwork(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status Probe(grpc::ServerContext*, const v1::ProbeRequest* request,
                     v1::ProbeResponse* response) override {
    return Give(backend_.Probe(*request), response);
  }
  grpc::Status DrillBackup(grpc::ServerContext* context, const v1::DrillBackupRequest* request,
                           grpc::ServerWriter<v1::DrillBackupResponse>* writer) override {
    return ToGrpc(backend_.DrillBackup(*request, ContextOf(context), SenderTo(context, writer)));
  }
  grpc::Status Events(grpc::ServerContext* context, const v1::EventsRequest* request,
                      grpc::ServerWriter<v1::Event>* writer) override {
    return ToGrpc(backend_.Events(*request, ContextOf(context), SenderTo(context, writer)));
  }

 private:
  CallContext ContextOf(grpc::ServerContext* context) const {
    return {context->peer(),
            [this, context] { return context->IsCancelled() || !welcome_(*context); }};
  }
  template <typename Message>
  AdminBackend::Sender<Message> SenderTo(grpc::ServerContext* context,
                                         grpc::ServerWriter<Message>* writer) const {
    return [this, context, writer](const Message& message) {
      return welcome_(*context) && writer->Write(message);
    };
  }

  AdminBackend& backend_;
  const IsWelcomeStill welcome_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(AdminBackend& backend, IsWelcomeStill welcome) {
  return std::make_unique<AdminService>(backend, std::move(welcome));
}

}  // namespace understudy::rpc
