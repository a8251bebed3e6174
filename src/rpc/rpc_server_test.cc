// SPDX-License-Identifier: Apache-2.0
// Client and server over a real connection on loopback.
#include "rpc/rpc_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>

#include "rpc/admin_client.h"
#include "rpc/protocol.h"

namespace understudy::rpc {
namespace {

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
  base::Status Events(const v1::EventsRequest&, const CallContext&,
                      const Sender<v1::Event>& send) override {
    v1::Event event;
    for (uint64_t id = 1; send(event); ++id) event.set_id(id);
    return {};
  }

  uint32_t protocol = kAdminProtocolVersion;

 private:
  static base::Status NotHere() { return base::NotFound("not in this test"); }
};

// Sends every message back until the peer is gone.
class Echo final : public ShipAcceptor {
 public:
  void Serve(ShipConnection& connection) override {
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
};

class RpcServerTest : public testing::Test {
 protected:
  void SetUp() override {
    RpcServer::Options options;
    options.listen = "127.0.0.1:0";
    options.server_name = "s1";
    auto started = RpcServer::Start(options, backend_, echo_);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    server_ = std::move(started).value();
    address_ = fmt::format("127.0.0.1:{}", server_->port());
  }

  Backend backend_;
  Echo echo_;
  std::unique_ptr<RpcServer> server_;
  std::string address_;
};

TEST_F(RpcServerTest, AnswersAndErrorsArriveAsTheyWere) {
  const auto client = AdminClient::Connect(address_);
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  EXPECT_EQ((*client)->hello().server(), "s1");
  EXPECT_EQ((*client)->ListServers({})->servers(0).name(), "s1");
  v1::AddDatabaseRequest add;
  add.set_name("orders");
  const base::Status exists = (*client)->AddDatabase(add).status();
  EXPECT_EQ(exists.code(), base::Code::kAlreadyExists);
  EXPECT_EQ(exists.message(), "orders is in this group already\nchoose another name");
  EXPECT_EQ((*client)->ListDatabases({}).status().code(), base::Code::kDiverged);
}

TEST_F(RpcServerTest, AStreamGivesItsMessagesAndThenItsFailure) {
  const auto client = AdminClient::Connect(address_);
  ASSERT_TRUE(client.ok());
  int messages = 0;
  const base::Status status = (*client)->RunBackup({}, [&](const v1::RunBackupResponse&) {
    ++messages;
    return true;
  });
  EXPECT_EQ(messages, 1);
  EXPECT_EQ(status.code(), base::Code::kNoSpace);
}

TEST_F(RpcServerTest, AnExportThatBreaksOffSaysSo) {
  const auto client = AdminClient::Connect(address_);
  ASSERT_TRUE(client.ok());
  v1::ExportLostRequest request;
  request.mutable_name()->set_id("20260101T000000Z-5.1742");
  std::string id;
  const base::Status status =
      (*client)->ExportLost(request, [&](const v1::ExportLostResponse& response) {
        id = response.bundle().id();
        return true;
      });
  EXPECT_EQ(id, "20260101T000000Z-5.1742");
  EXPECT_EQ(status.code(), base::Code::kIoError);
}

TEST_F(RpcServerTest, AReceiverThatHasEnoughEndsTheStream) {
  const auto client = AdminClient::Connect(address_);
  ASSERT_TRUE(client.ok());
  const base::Status status =
      (*client)->Events({}, [](const v1::Event& event) { return event.id() < 10; });
  EXPECT_EQ(status.code(), base::Code::kCancelled);
}

TEST_F(RpcServerTest, AnotherProtocolVersionIsRefused) {
  backend_.protocol = kAdminProtocolVersion + 1;
  const auto client = AdminClient::Connect(address_);
  EXPECT_EQ(client.status().code(), base::Code::kInvalidArgument);
  EXPECT_NE(client.status().message().find("speaks admin protocol 2"), std::string::npos);
}

TEST_F(RpcServerTest, NobodyThereIsUnavailableInTime) {
  server_->Shutdown(base::Duration(0));
  server_.reset();
  const auto client = AdminClient::Connect(address_, std::chrono::milliseconds(500));
  EXPECT_EQ(client.status().code(), base::Code::kUnavailable);
  EXPECT_NE(client.status().message().find(address_), std::string::npos);
}

TEST_F(RpcServerTest, AnAddressInUseIsRefusedByName) {
  RpcServer::Options options;
  options.listen = address_;
  options.server_name = "s2";
  const auto second = RpcServer::Start(options, backend_, echo_);
  EXPECT_EQ(second.status().code(), base::Code::kUnavailable);
  EXPECT_NE(second.status().message().find(address_), std::string::npos);
}

TEST_F(RpcServerTest, ShutdownEndsConnectionsAndWaitingCalls) {
  const auto signal = std::make_shared<Signal>();
  auto connection = DialShip(address_, "s1", "s2", signal, std::chrono::seconds(10));
  ASSERT_TRUE(connection.ok()) << connection.status().ToString();
  const auto client = AdminClient::Connect(address_);
  ASSERT_TRUE(client.ok());
  base::Status waited;
  std::thread waiter([&] { waited = (*client)->Wait({}).status(); });
  server_->Shutdown(std::chrono::milliseconds(50));
  waiter.join();
  EXPECT_FALSE(waited.ok());
  while (!(*connection)->closed()) {
    signal->WaitFor(signal->count(), std::chrono::milliseconds(10));
  }
}

TEST_F(RpcServerTest, AConnectionCarriesMessagesBothWays) {
  const auto signal = std::make_shared<Signal>();
  auto connection = DialShip(address_, "s1", "s2", signal, std::chrono::seconds(10));
  ASSERT_TRUE(connection.ok()) << connection.status().ToString();
  ship::Heartbeat heartbeat;
  heartbeat.count = 42;
  ASSERT_TRUE((*connection)->TrySend(heartbeat));
  std::optional<ship::Message> back;
  while (!back && !(*connection)->closed()) {
    const uint64_t seen = signal->count();
    back = (*connection)->TryReceive();
    if (!back) signal->WaitFor(seen, std::chrono::seconds(1));
  }
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(std::get<ship::Heartbeat>(*back).count, 42u);
}

TEST_F(RpcServerTest, AnotherServerThanExpectedIsRefused) {
  const auto connection =
      DialShip(address_, "s7", "s2", std::make_shared<Signal>(), std::chrono::seconds(10));
  EXPECT_EQ(connection.status().code(), base::Code::kInvalidArgument);
  EXPECT_NE(connection.status().message().find("answers server s1, not s7"), std::string::npos);
}

}  // namespace
}  // namespace understudy::rpc
