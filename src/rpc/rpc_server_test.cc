// SPDX-License-Identifier: Apache-2.0
// Client and server over a real connection on loopback.
#include "rpc/rpc_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>

#include "rpc/admin_client.h"
#include "rpc/protocol.h"
#include "rpc/rpc_fixture.h"

namespace understudy::rpc {
namespace {

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
