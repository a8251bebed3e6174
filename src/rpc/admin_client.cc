// SPDX-License-Identifier: Apache-2.0
#include "rpc/admin_client.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <utility>

#include "rpc/channel_args.h"
#include "rpc/status_codec.h"
#include "rpc/tls_credentials.h"
#include "understudy/v1/admin.grpc.pb.h"

namespace understudy::rpc {
namespace {

// Wait ends by itself; this much later we give the server up.
constexpr std::chrono::milliseconds kWaitGrace{5'000};

void SetDeadline(grpc::ClientContext& context, base::Duration timeout) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(milliseconds, GPR_TIMESPAN)));
}

}  // namespace

struct AdminClient::State {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Admin::Stub> stub;
  v1::HelloResponse hello;
  std::unique_ptr<CallCarrier> carrier;  // instead of the channel

  // "s1 (127.0.0.1:7001)", or the address before we know the name.
  std::string Name() const {
    if (hello.server().empty()) return fmt::format("the server at {}", address);
    return fmt::format("server {} ({})", hello.server(), address);
  }

  template <typename Request, typename Response>
  base::Result<Response> Call(grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                              const Request& request, base::Duration timeout) {
    Response response;
    if (carrier != nullptr) {
      RETURN_IF_ERROR(carrier->Call(request, response, timeout));
      return response;
    }
    grpc::ClientContext context;
    SetDeadline(context, timeout);
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status, Name());
    return response;
  }

  template <typename Request, typename Message>
  base::Status Drain(std::unique_ptr<grpc::ClientReader<Message>> (v1::Admin::Stub::*method)(
                         grpc::ClientContext*, const Request&),
                     const Request& request, const Receiver<Message>& receive) {
    if (carrier != nullptr) return base::Unavailable("streams need gRPC");
    grpc::ClientContext context;
    const std::unique_ptr<grpc::ClientReader<Message>> reader =
        (stub.get()->*method)(&context, request);
    Message message;
    bool wanted = true;
    while (reader->Read(&message)) {
      if (wanted && !receive(message)) {
        wanted = false;
        context.TryCancel();
      }
    }
    const grpc::Status status = reader->Finish();
    if (!wanted) return base::Cancelled("no longer wanted");
    return FromGrpc(status, Name());
  }
};

AdminClient::AdminClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
AdminClient::~AdminClient() = default;

base::Result<std::unique_ptr<AdminClient>> AdminClient::Connect(const std::string& address,
                                                                base::Duration timeout,
                                                                const ChannelSecurity& security) {
  auto state = std::make_unique<State>();
  state->address = address;
  grpc::ChannelArguments arguments = ClientArguments();
  const auto credentials = ChannelCredentials(security, arguments);
  state->channel = grpc::CreateCustomChannel(address, credentials, arguments);
  state->stub = v1::Admin::NewStub(state->channel);

  v1::HelloRequest request;
  request.set_protocol_version(kAdminProtocolVersion);
  request.set_client_version(std::string(kVersion));
  ASSIGN_OR_RETURN(v1::HelloResponse hello, state->Call(&v1::Admin::Stub::Hello, request, timeout));
  if (hello.protocol_version() != kAdminProtocolVersion) {
    return base::InvalidArgument(fmt::format(
        "server {} ({}) speaks admin protocol {}, this is {} (version {})\nuse the command of the "
        "server's version, {}",
        hello.server(), address, hello.protocol_version(), kAdminProtocolVersion, kVersion,
        hello.version()));
  }
  state->hello = std::move(hello);
  return std::unique_ptr<AdminClient>(new AdminClient(std::move(state)));
}

std::unique_ptr<AdminClient> AdminClient::Over(std::unique_ptr<CallCarrier> carrier,
                                               const std::string& address,
                                               v1::HelloResponse hello) {
  auto state = std::make_unique<State>();
  state->address = address;
  state->hello = std::move(hello);
  state->carrier = std::move(carrier);
  return std::unique_ptr<AdminClient>(new AdminClient(std::move(state)));
}

const std::string& AdminClient::address() const { return state_->address; }
const v1::HelloResponse& AdminClient::hello() const { return state_->hello; }

base::Result<v1::ListServersResponse> AdminClient::ListServers(
    const v1::ListServersRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListServers, request, timeout);
}
base::Result<v1::AddDatabaseResponse> AdminClient::AddDatabase(
    const v1::AddDatabaseRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::AddDatabase, request, timeout);
}
base::Result<v1::ListDatabasesResponse> AdminClient::ListDatabases(
    const v1::ListDatabasesRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListDatabases, request, timeout);
}
base::Result<v1::RemoveDatabaseResponse> AdminClient::RemoveDatabase(
    const v1::RemoveDatabaseRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RemoveDatabase, request, timeout);
}
base::Result<v1::StatusResponse> AdminClient::Status(const v1::StatusRequest& request,
                                                     base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Status, request, timeout);
}
base::Result<v1::StatusResponse> AdminClient::LocalStatus(const v1::LocalStatusRequest& request,
                                                          base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::LocalStatus, request, timeout);
}
base::Result<v1::AddCopyResponse> AdminClient::AddCopy(const v1::AddCopyRequest& request,
                                                       base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::AddCopy, request, timeout);
}
base::Result<v1::RemoveCopyResponse> AdminClient::RemoveCopy(const v1::RemoveCopyRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RemoveCopy, request, timeout);
}
base::Result<v1::SuspendCopyResponse> AdminClient::SuspendCopy(
    const v1::SuspendCopyRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SuspendCopy, request, timeout);
}
base::Result<v1::ResumeCopyResponse> AdminClient::ResumeCopy(const v1::ResumeCopyRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ResumeCopy, request, timeout);
}

base::Result<v1::ReseedCopyResponse> AdminClient::ReseedCopy(const v1::ReseedCopyRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ReseedCopy, request, timeout);
}
base::Result<v1::PlayDownCopyResponse> AdminClient::PlayDownCopy(
    const v1::PlayDownCopyRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::PlayDownCopy, request, timeout);
}
base::Result<v1::SupportFactsResponse> AdminClient::SupportFacts(
    const v1::SupportFactsRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SupportFacts, request, timeout);
}
base::Status AdminClient::ActivateCopy(const v1::ActivateCopyRequest& request,
                                       const Receiver<v1::ActivateCopyResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::ActivateCopy, request, receive);
}
base::Status AdminClient::RestoreInPlace(const v1::RestoreInPlaceRequest& request,
                                         const Receiver<v1::RestoreInPlaceResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::RestoreInPlace, request, receive);
}
base::Result<v1::ListLostResponse> AdminClient::ListLost(const v1::ListLostRequest& request,
                                                         base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListLost, request, timeout);
}
base::Result<v1::ShowLostResponse> AdminClient::ShowLost(const v1::ShowLostRequest& request,
                                                         base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ShowLost, request, timeout);
}
base::Status AdminClient::ExportLost(const v1::ExportLostRequest& request,
                                     const Receiver<v1::ExportLostResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::ExportLost, request, receive);
}
base::Result<v1::RemoveLostResponse> AdminClient::RemoveLost(const v1::RemoveLostRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RemoveLost, request, timeout);
}

base::Result<v1::SwitchoverResponse> AdminClient::Switchover(const v1::SwitchoverRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Switchover, request, timeout);
}
base::Result<v1::FailoverResponse> AdminClient::Failover(const v1::FailoverRequest& request,
                                                         base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Failover, request, timeout);
}
base::Result<v1::RelinquishResponse> AdminClient::Relinquish(const v1::RelinquishRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Relinquish, request, timeout);
}
base::Result<v1::AwaitMountResponse> AdminClient::AwaitMount(const v1::AwaitMountRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::AwaitMount, request, timeout);
}
base::Result<v1::SetDatabaseResponse> AdminClient::SetDatabase(
    const v1::SetDatabaseRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SetDatabase, request, timeout);
}
base::Result<v1::SetCopyResponse> AdminClient::SetCopy(const v1::SetCopyRequest& request,
                                                       base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SetCopy, request, timeout);
}
base::Result<v1::SetGroupResponse> AdminClient::SetGroup(const v1::SetGroupRequest& request,
                                                         base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SetGroup, request, timeout);
}
base::Result<v1::RebalanceResponse> AdminClient::Rebalance(const v1::RebalanceRequest& request,
                                                           base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Rebalance, request, timeout);
}
base::Result<v1::ConfirmResponse> AdminClient::Confirm(const v1::ConfirmRequest& request,
                                                       base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Confirm, request, timeout);
}

base::Result<v1::BackupSessionStatus> AdminClient::BeginBackup(
    const v1::BeginBackupRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::BeginBackup, request, timeout);
}
base::Result<v1::BackupSessionStatus> AdminClient::BackupStatus(
    const v1::BackupStatusRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::BackupStatus, request, timeout);
}
base::Result<v1::BackupSessionStatus> AdminClient::EndBackup(const v1::EndBackupRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::EndBackup, request, timeout);
}
base::Result<v1::WritersResponse> AdminClient::Writers(const v1::WritersRequest& request,
                                                       base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Writers, request, timeout);
}
base::Result<v1::AnnounceBackupResponse> AdminClient::AnnounceBackup(
    const v1::AnnounceBackupRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::AnnounceBackup, request, timeout);
}
base::Result<v1::ExplainBackupResponse> AdminClient::ExplainBackup(
    const v1::ExplainBackupRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ExplainBackup, request, timeout);
}
base::Result<v1::HoldsResponse> AdminClient::Holds(const v1::HoldsRequest& request,
                                                   base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Holds, request, timeout);
}
base::Result<v1::PruneBackupsResponse> AdminClient::PruneBackups(
    const v1::PruneBackupsRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::PruneBackups, request, timeout);
}
base::Result<v1::KeepBackupResponse> AdminClient::KeepBackup(const v1::KeepBackupRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::KeepBackup, request, timeout);
}
base::Result<v1::ListRepositoriesResponse> AdminClient::AddRepository(
    const v1::AddRepositoryRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::AddRepository, request, timeout);
}
base::Result<v1::ListRepositoriesResponse> AdminClient::SetRepository(
    const v1::SetRepositoryRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SetRepository, request, timeout);
}
base::Result<v1::RemoveRepositoryResponse> AdminClient::RemoveRepository(
    const v1::RemoveRepositoryRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RemoveRepository, request, timeout);
}
base::Result<v1::ListRepositoriesResponse> AdminClient::ListRepositories(
    const v1::ListRepositoriesRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListRepositories, request, timeout);
}
base::Result<v1::CheckRepositoryResponse> AdminClient::CheckRepository(
    const v1::CheckRepositoryRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::CheckRepository, request, timeout);
}
base::Result<v1::ListSchedulesResponse> AdminClient::AddSchedule(
    const v1::AddScheduleRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::AddSchedule, request, timeout);
}
base::Result<v1::ListSchedulesResponse> AdminClient::SetSchedule(
    const v1::SetScheduleRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SetSchedule, request, timeout);
}
base::Result<v1::RemoveScheduleResponse> AdminClient::RemoveSchedule(
    const v1::RemoveScheduleRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RemoveSchedule, request, timeout);
}
base::Result<v1::ListSchedulesResponse> AdminClient::ListSchedules(
    const v1::ListSchedulesRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListSchedules, request, timeout);
}
base::Result<v1::ListSchedulesResponse> AdminClient::RunSchedule(
    const v1::RunScheduleRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RunSchedule, request, timeout);
}
base::Result<v1::GetSettingsResponse> AdminClient::GetSettings(
    const v1::GetSettingsRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::GetSettings, request, timeout);
}
base::Result<v1::GetSettingsResponse> AdminClient::SetSetting(const v1::SetSettingRequest& request,
                                                              base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::SetSetting, request, timeout);
}
base::Result<v1::MaintenanceResponse> AdminClient::Maintenance(
    const v1::MaintenanceRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Maintenance, request, timeout);
}
base::Result<v1::HealthResponse> AdminClient::Health(const v1::HealthRequest& request,
                                                     base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Health, request, timeout);
}

base::Result<v1::ScrubResponse> AdminClient::Scrub(const v1::ScrubRequest& request,
                                                   base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Scrub, request, timeout);
}
base::Result<v1::FetchPageResponse> AdminClient::FetchPage(const v1::FetchPageRequest& request,
                                                           base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::FetchPage, request, timeout);
}
base::Result<v1::FetchGenerationResponse> AdminClient::FetchGeneration(
    const v1::FetchGenerationRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::FetchGeneration, request, timeout);
}

base::Result<v1::WaitResponse> AdminClient::Wait(const v1::WaitRequest& request) {
  const std::chrono::milliseconds asked = request.timeout_ms() > 0
                                              ? std::chrono::milliseconds(request.timeout_ms())
                                              : kWaitTimeoutDefault;
  return state_->Call(&v1::Admin::Stub::Wait, request, asked + kWaitGrace);
}

base::Status AdminClient::RunBackup(const v1::RunBackupRequest& request,
                                    const Receiver<v1::RunBackupResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::RunBackup, request, receive);
}

base::Result<v1::ListBackupsResponse> AdminClient::ListBackups(
    const v1::ListBackupsRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListBackups, request, timeout);
}
base::Result<v1::ShowBackupResponse> AdminClient::ShowBackup(const v1::ShowBackupRequest& request,
                                                             base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ShowBackup, request, timeout);
}

base::Status AdminClient::VerifyBackup(const v1::VerifyBackupRequest& request,
                                       const Receiver<v1::VerifyBackupResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::VerifyBackup, request, receive);
}
base::Status AdminClient::PrepareCopy(const v1::PrepareCopyRequest& request,
                                      const Receiver<v1::PrepareCopyResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::PrepareCopy, request, receive);
}
base::Status AdminClient::CreateRecovery(const v1::CreateRecoveryRequest& request,
                                         const Receiver<v1::CreateRecoveryResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::CreateRecovery, request, receive);
}
base::Result<v1::ListRecoveriesResponse> AdminClient::ListRecoveries(
    const v1::ListRecoveriesRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::ListRecoveries, request, timeout);
}
base::Result<v1::DiffRecoveryResponse> AdminClient::DiffRecovery(
    const v1::DiffRecoveryRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::DiffRecovery, request, timeout);
}
base::Result<v1::RemoveRecoveryResponse> AdminClient::RemoveRecovery(
    const v1::RemoveRecoveryRequest& request, base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::RemoveRecovery, request, timeout);
}
base::Status AdminClient::DiagnoseNetwork(const v1::DiagnoseNetworkRequest& request,
                                          const Receiver<v1::DiagnoseNetworkResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::DiagnoseNetwork, request, receive);
}
base::Result<v1::ProbeResponse> AdminClient::Probe(const v1::ProbeRequest& request,
                                                   base::Duration timeout) {
  return state_->Call(&v1::Admin::Stub::Probe, request, timeout);
}
base::Status AdminClient::DrillBackup(const v1::DrillBackupRequest& request,
                                      const Receiver<v1::DrillBackupResponse>& receive) {
  return state_->Drain(&v1::Admin::Stub::DrillBackup, request, receive);
}

base::Status AdminClient::Events(const v1::EventsRequest& request,
                                 const Receiver<v1::Event>& receive) {
  return state_->Drain(&v1::Admin::Stub::Events, request, receive);
}

}  // namespace understudy::rpc
