// SPDX-License-Identifier: Apache-2.0
// What the tests of the RPC server have behind it. Threading: as the interfaces demand.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "rpc/admin_backend.h"
#include "rpc/protocol.h"
#include "rpc/rpc_server.h"

namespace understudy::rpc {

// Answers with what the tests look for.
class Backend final : public AdminBackend {
 public:
  v1::HelloResponse Hello() override {
    v1::HelloResponse hello;
    hello.set_protocol_version(protocol);
    hello.set_server("s1");
    hello.set_version("9.9.9");
    return hello;
  }
  base::Result<v1::ListServersResponse> ListServers(const v1::ListServersRequest&) override {
    v1::ListServersResponse response;
    response.add_servers()->set_name("s1");
    return response;
  }
  base::Result<v1::AddDatabaseResponse> AddDatabase(const v1::AddDatabaseRequest& r) override {
    return base::AlreadyExists(r.name() + " is in this group already\nchoose another name");
  }
  base::Result<v1::ListDatabasesResponse> ListDatabases(const v1::ListDatabasesRequest&) override {
    return base::Diverged("same seq, different content");
  }
  base::Result<v1::RemoveDatabaseResponse> RemoveDatabase(
      const v1::RemoveDatabaseRequest&) override {
    return NotHere();
  }
  base::Result<v1::StatusResponse> Status(const v1::StatusRequest&) override { return NotHere(); }
  base::Result<v1::StatusResponse> LocalStatus(const v1::LocalStatusRequest&) override {
    return NotHere();
  }
  base::Result<v1::AddCopyResponse> AddCopy(const v1::AddCopyRequest&) override {
    return NotHere();
  }
  base::Result<v1::RemoveCopyResponse> RemoveCopy(const v1::RemoveCopyRequest&) override {
    return NotHere();
  }
  base::Result<v1::SuspendCopyResponse> SuspendCopy(const v1::SuspendCopyRequest&) override {
    return NotHere();
  }
  base::Result<v1::ResumeCopyResponse> ResumeCopy(const v1::ResumeCopyRequest&) override {
    return NotHere();
  }
  base::Result<v1::ReseedCopyResponse> ReseedCopy(const v1::ReseedCopyRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListLostResponse> ListLost(const v1::ListLostRequest&) override {
    return NotHere();
  }
  base::Result<v1::ShowLostResponse> ShowLost(const v1::ShowLostRequest&) override {
    return NotHere();
  }
  base::Status ExportLost(const v1::ExportLostRequest& request, const CallContext&,
                          const Sender<v1::ExportLostResponse>& send) override {
    v1::ExportLostResponse response;
    response.mutable_bundle()->set_id(request.name().id());
    send(response);
    return base::IoError("the disk of s1 is gone");
  }
  base::Result<v1::RemoveLostResponse> RemoveLost(const v1::RemoveLostRequest&) override {
    return NotHere();
  }
  base::Result<v1::SwitchoverResponse> Switchover(const v1::SwitchoverRequest&) override {
    return NotHere();
  }
  base::Result<v1::FailoverResponse> Failover(const v1::FailoverRequest&) override {
    return NotHere();
  }
  base::Result<v1::RelinquishResponse> Relinquish(const v1::RelinquishRequest&) override {
    return NotHere();
  }
  base::Result<v1::AwaitMountResponse> AwaitMount(const v1::AwaitMountRequest&) override {
    return NotHere();
  }
  base::Result<v1::SetDatabaseResponse> SetDatabase(const v1::SetDatabaseRequest&) override {
    return NotHere();
  }
  base::Result<v1::SetCopyResponse> SetCopy(const v1::SetCopyRequest&) override {
    return NotHere();
  }
  base::Result<v1::SetGroupResponse> SetGroup(const v1::SetGroupRequest&) override {
    return NotHere();
  }
  base::Result<v1::RebalanceResponse> Rebalance(const v1::RebalanceRequest&) override {
    return NotHere();
  }
  base::Result<v1::ConfirmResponse> Confirm(const v1::ConfirmRequest&) override {
    return NotHere();
  }
  base::Result<v1::BackupSessionStatus> BeginBackup(const v1::BeginBackupRequest&) override {
    return NotHere();
  }
  base::Result<v1::BackupSessionStatus> BackupStatus(const v1::BackupStatusRequest&) override {
    return NotHere();
  }
  base::Result<v1::BackupSessionStatus> EndBackup(const v1::EndBackupRequest&) override {
    return NotHere();
  }
  base::Result<v1::WritersResponse> Writers(const v1::WritersRequest&) override {
    return NotHere();
  }
  base::Result<v1::AnnounceBackupResponse> AnnounceBackup(
      const v1::AnnounceBackupRequest&) override {
    return NotHere();
  }
  base::Result<v1::ExplainBackupResponse> ExplainBackup(const v1::ExplainBackupRequest&) override {
    return NotHere();
  }
  base::Result<v1::HoldsResponse> Holds(const v1::HoldsRequest&) override { return NotHere(); }
  base::Result<v1::PruneBackupsResponse> PruneBackups(const v1::PruneBackupsRequest&) override {
    return NotHere();
  }
  base::Result<v1::KeepBackupResponse> KeepBackup(const v1::KeepBackupRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListRepositoriesResponse> AddRepository(
      const v1::AddRepositoryRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListRepositoriesResponse> SetRepository(
      const v1::SetRepositoryRequest&) override {
    return NotHere();
  }
  base::Result<v1::RemoveRepositoryResponse> RemoveRepository(
      const v1::RemoveRepositoryRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListRepositoriesResponse> ListRepositories(
      const v1::ListRepositoriesRequest&) override {
    return NotHere();
  }
  base::Result<v1::CheckRepositoryResponse> CheckRepository(
      const v1::CheckRepositoryRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListSchedulesResponse> AddSchedule(const v1::AddScheduleRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListSchedulesResponse> SetSchedule(const v1::SetScheduleRequest&) override {
    return NotHere();
  }
  base::Result<v1::RemoveScheduleResponse> RemoveSchedule(
      const v1::RemoveScheduleRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListSchedulesResponse> ListSchedules(const v1::ListSchedulesRequest&) override {
    return NotHere();
  }
  base::Result<v1::ListSchedulesResponse> RunSchedule(const v1::RunScheduleRequest&) override {
    return NotHere();
  }
  base::Result<v1::GetSettingsResponse> GetSettings(const v1::GetSettingsRequest&) override {
    return NotHere();
  }
  base::Result<v1::GetSettingsResponse> SetSetting(const v1::SetSettingRequest&) override {
    return NotHere();
  }
  base::Result<v1::MaintenanceResponse> Maintenance(const v1::MaintenanceRequest&) override {
    return NotHere();
  }
  base::Result<v1::HealthResponse> Health(const v1::HealthRequest&) override { return NotHere(); }
  base::Result<v1::WaitResponse> Wait(const v1::WaitRequest&, const CallContext& call) override {
    base::Mutex mutex;
    base::CondVar never;
    base::MutexLock lock(mutex);
    while (!call.cancelled()) never.WaitFor(mutex, std::chrono::milliseconds(10));
    return base::Cancelled("nobody waits any more");
  }
  base::Status RunBackup(const v1::RunBackupRequest&, const CallContext&,
                         const Sender<v1::RunBackupResponse>& send) override {
    v1::RunBackupResponse response;
    response.mutable_progress()->set_bytes_done(1);
    send(response);
    return base::NoSpace("the disk of /backups is full");
  }
  base::Result<v1::ListBackupsResponse> ListBackups(const v1::ListBackupsRequest&) override {
    return NotHere();
  }
  base::Result<v1::ShowBackupResponse> ShowBackup(const v1::ShowBackupRequest&) override {
    return NotHere();
  }
  base::Status VerifyBackup(const v1::VerifyBackupRequest&, const CallContext&,
                            const Sender<v1::VerifyBackupResponse>&) override {
    return NotHere();
  }
  base::Status PrepareCopy(const v1::PrepareCopyRequest&, const CallContext&,
                           const Sender<v1::PrepareCopyResponse>&) override {
    return NotHere();
  }
  base::Status CreateRecovery(const v1::CreateRecoveryRequest&, const CallContext&,
                              const Sender<v1::CreateRecoveryResponse>&) override {
    return NotHere();
  }
  base::Result<v1::ListRecoveriesResponse> ListRecoveries(
      const v1::ListRecoveriesRequest&) override {
    return NotHere();
  }
  base::Result<v1::DiffRecoveryResponse> DiffRecovery(const v1::DiffRecoveryRequest&) override {
    return NotHere();
  }
  base::Result<v1::RemoveRecoveryResponse> RemoveRecovery(
      const v1::RemoveRecoveryRequest&) override {
    return NotHere();
  }
  base::Status DiagnoseNetwork(const v1::DiagnoseNetworkRequest&, const CallContext&,
                               const Sender<v1::DiagnoseNetworkResponse>&) override {
    return NotHere();
  }
  base::Result<v1::ProbeResponse> Probe(const v1::ProbeRequest&) override { return NotHere(); }
  base::Status DrillBackup(const v1::DrillBackupRequest&, const CallContext&,
                           const Sender<v1::DrillBackupResponse>&) override {
    return NotHere();
  }
  base::Status Events(const v1::EventsRequest&, const CallContext&,
                      const Sender<v1::Event>& send) override {
    v1::Event event;
    for (uint64_t id = 1; send(event); ++id) event.set_id(id);
    return {};
  }

  base::Result<v1::PlayDownCopyResponse> PlayDownCopy(const v1::PlayDownCopyRequest&) override {
    return NotHere();
  }
  base::Status ActivateCopy(const v1::ActivateCopyRequest&, const CallContext&,
                            const Sender<v1::ActivateCopyResponse>&) override {
    return NotHere();
  }
  base::Result<v1::SupportFactsResponse> SupportFacts(const v1::SupportFactsRequest&) override {
    return NotHere();
  }
  base::Status RestoreInPlace(const v1::RestoreInPlaceRequest&, const CallContext&,
                              const Sender<v1::RestoreInPlaceResponse>&) override {
    return NotHere();
  }
  base::Result<v1::ScrubResponse> Scrub(const v1::ScrubRequest&) override { return NotHere(); }
  base::Result<v1::FetchPageResponse> FetchPage(const v1::FetchPageRequest&) override {
    return NotHere();
  }
  base::Result<v1::FetchGenerationResponse> FetchGeneration(
      const v1::FetchGenerationRequest&) override {
    return NotHere();
  }

  uint32_t protocol = kAdminProtocolVersion;

 private:
  static base::Status NotHere() { return base::NotFound("not in this test"); }
};

// Sends every message back until the peer is gone.
class Echo final : public ShipAcceptor {
 public:
  void Serve(ShipConnection& connection) override {
    ++served_;
    while (!connection.closed()) {
      const uint64_t seen = connection.signal()->count();
      std::optional<ship::Message> message = connection.TryReceive();
      if (message) {
        connection.TrySend(std::move(*message));
      } else {
        connection.signal()->WaitFor(seen, std::chrono::seconds(1));
      }
    }
  }
  int served() const { return served_; }  // connections, so far

 private:
  std::atomic<int> served_ = 0;
};

}  // namespace understudy::rpc
