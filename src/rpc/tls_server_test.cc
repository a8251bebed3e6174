// SPDX-License-Identifier: Apache-2.0
// Who gets through to a server with TLS, over real connections on loopback: nobody but holders of
// certificates that count, and they under their own names only.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "rpc/admin_client.h"
#include "rpc/join_listener.h"
#include "rpc/membership_client.h"
#include "rpc/rpc_fixture.h"
#include "testing/temp_dir.h"
#include "tls/certificate_authority.h"
#include "tls/client_role.h"

namespace understudy::rpc {
namespace {

using base::Code;
using tls::CertificateAuthority;
using tls::Identity;
using tls::Kind;

// Refuses one holder, once it was told.
class Revoked final : public PeerPolicy {
 public:
  base::Status Check(const tls::Certificate& peer) const override {
    if (!on || peer.name != "gone") return {};
    return base::Fenced("the certificate of gone was revoked");
  }
  std::atomic<bool> on = false;
};

class Desk final : public JoinBackend {
 public:
  base::Result<v1::JoinResponse> Join(const v1::JoinRequest& request, const std::string&) override {
    secret = request.secret();
    v1::JoinResponse response;
    response.set_group("shop");
    return response;
  }
  std::string secret;  // that was seen
};

std::vector<std::string> RoleHosts(Kind kind, base::Role role) {
  if (kind != Kind::kClient) return {};
  return {tls::RoleHost(role)};
}

class TlsServerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(tls::SaveIdentity(env_, directory_, *Of(shop_, Kind::kServer, "s1")).ok());
    RpcServer::Options options;
    options.listen = "127.0.0.1:0";
    options.server_name = "s1";
    options.security.emplace(ServerSecurity{directory_, revoked_});
    auto started = RpcServer::Start(options, backend_, echo_);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    server_ = std::move(started).value();
    address_ = fmt::format("127.0.0.1:{}", server_->port());
  }

  std::shared_ptr<const Identity> Of(const CertificateAuthority& authority, Kind kind,
                                     const std::string& name,
                                     base::Role role = base::Role::kAdmin) {
    const std::string key = tls::NewKey().value();
    const std::string chain = authority
                                  .Sign(env_, tls::NewRequest(key).value(),
                                        {.kind = kind,
                                         .name = name,
                                         .hosts = RoleHosts(kind, role),
                                         .lifetime = std::chrono::hours(1)})
                                  .value();
    return std::make_shared<const Identity>(tls::ParseIdentity(key + chain).value());
  }
  base::Status Hello(const ChannelSecurity& security) {
    return AdminClient::Connect(address_, std::chrono::seconds(20), security).status();
  }
  base::Result<std::unique_ptr<ShipConnection>> Ship(std::shared_ptr<const Identity> identity,
                                                     const std::string& calls_itself) {
    return DialShip(address_, "s1", calls_itself, signal_, std::chrono::seconds(20),
                    {identity, "", nullptr});
  }

  env::Env& env_ = env::PosixEnv();
  const CertificateAuthority shop_ = CertificateAuthority::Create(env_, "shop").value();
  const CertificateAuthority other_ = CertificateAuthority::Create(env_, "shop").value();
  test::TempDir temp_;
  const tls::TlsDirectory directory_ = tls::TlsDirectory::Below(temp_.path());
  const std::shared_ptr<Revoked> revoked_ = std::make_shared<Revoked>();
  const std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  Backend backend_;
  Echo echo_;
  std::unique_ptr<RpcServer> server_;
  std::string address_;
};

TEST_F(TlsServerTest, MembersGetIn) {
  EXPECT_TRUE(Hello({Of(shop_, Kind::kServer, "s2"), "s1", nullptr}).ok());
  EXPECT_TRUE(Hello({Of(shop_, Kind::kClient, "ann"), "", nullptr}).ok());
  EXPECT_TRUE(Ship(Of(shop_, Kind::kServer, "s2"), "s2").ok());
}

TEST_F(TlsServerTest, StrangersDoNot) {
  EXPECT_EQ(Hello({}).code(), Code::kUnavailable);  // plaintext
  EXPECT_EQ(Hello({Of(other_, Kind::kServer, "s2"), "", nullptr}).code(), Code::kUnavailable);
  EXPECT_FALSE(Ship(nullptr, "s2").ok());
  EXPECT_FALSE(Ship(Of(other_, Kind::kServer, "s2"), "s2").ok());
  // One of another authority that trusts ours: it is the server that refuses.
  Identity mixed = *Of(other_, Kind::kServer, "s2");
  mixed.authority = shop_.certificate_pem();
  EXPECT_EQ(Hello({std::make_shared<const Identity>(mixed), "", nullptr}).code(),
            Code::kUnavailable);
}

TEST_F(TlsServerTest, WhoDialsRefusesAnotherServerThanExpected) {
  const base::Status status = Hello({Of(shop_, Kind::kServer, "s2"), "s3", nullptr});
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("there answers server s1, not s3"), std::string::npos)
      << status.message();
}

TEST_F(TlsServerTest, NobodyShipsUnderAnothersName) {
  const auto as_s3 = Ship(Of(shop_, Kind::kServer, "s2"), "s3");
  // The hello may have come back before the refusal; nothing else does. Why, is in the log of the
  // server that refuses: whoever lies about its name need not be told.
  if (as_s3.ok()) {
    while (!(*as_s3)->closed()) signal_->WaitFor(signal_->count(), std::chrono::milliseconds(50));
  }
  EXPECT_EQ(echo_.served(), 0);
  const auto client = Ship(Of(shop_, Kind::kClient, "s2"), "s2");
  ASSERT_FALSE(client.ok());
  EXPECT_NE(client.status().message().find("is no server"), std::string::npos)
      << client.status().message();
}

TEST_F(TlsServerTest, WhatIsBetweenServersIsRefusedToClients) {
  const auto client = AdminClient::Connect(address_, std::chrono::seconds(20),
                                           {Of(shop_, Kind::kClient, "ann"), "", nullptr});
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  EXPECT_EQ((*client)->Relinquish({}).status().code(), Code::kFenced);
  EXPECT_EQ((*client)->AwaitMount({}).status().code(), Code::kFenced);
  EXPECT_EQ((*client)->Confirm({}, std::chrono::seconds(20)).status().code(), Code::kFenced);
  EXPECT_EQ((*client)->Status({}).status().code(), Code::kNotFound);  // the backend's answer
}

TEST_F(TlsServerTest, ARoleIsHeldAtEveryCall) {
  const auto connect = [&](base::Role role) {
    return AdminClient::Connect(address_, std::chrono::seconds(20),
                                {Of(shop_, Kind::kClient, "ann", role), "", nullptr})
        .value();
  };
  const auto viewer = connect(base::Role::kViewer);
  EXPECT_EQ(viewer->Status({}).status().code(), Code::kNotFound);  // the backend's answer
  const base::Status refused = viewer->Switchover({}).status();
  EXPECT_EQ(refused.code(), Code::kFenced);
  EXPECT_NE(refused.message().find("Switchover needs operator"), std::string::npos)
      << refused.message();
  EXPECT_EQ(viewer->ExportLost({}, [](const auto&) { return true; }).code(), Code::kFenced);
  const auto operating = connect(base::Role::kOperator);
  EXPECT_EQ(operating->Switchover({}).status().message().find("needs"), std::string::npos);
  EXPECT_NE(operating->SetSetting({}).status().message().find("needs admin"), std::string::npos);
}

TEST_F(TlsServerTest, ARevokedOneIsCutOffInTheMiddle) {
  const auto gone = Of(shop_, Kind::kServer, "gone");
  const auto client =
      AdminClient::Connect(address_, std::chrono::seconds(20), {gone, "s1", nullptr});
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  auto ship = Ship(gone, "gone");
  ASSERT_TRUE(ship.ok()) << ship.status().ToString();
  revoked_->on = true;
  // The open connections are of no use any more, …
  EXPECT_EQ((*client)->Status({}).status().code(), Code::kFenced);
  (*ship)->TrySend(ship::Heartbeat{});
  while (!(*ship)->closed()) signal_->WaitFor(signal_->count(), std::chrono::milliseconds(50));
  // … and no new one comes about.
  EXPECT_EQ(Hello({gone, "s1", nullptr}).code(), Code::kUnavailable);
  EXPECT_TRUE(Hello({Of(shop_, Kind::kServer, "s2"), "s1", nullptr}).ok());
}

TEST_F(TlsServerTest, ARenewedIdentityIsUsedAndStreamsGoOn) {
  auto ship = Ship(Of(shop_, Kind::kServer, "s2"), "s2");
  ASSERT_TRUE(ship.ok()) << ship.status().ToString();
  // The new one has another name, so that it can be told from the old one.
  ASSERT_TRUE(tls::SaveIdentity(env_, directory_, *Of(shop_, Kind::kServer, "s1-new")).ok());
  const ChannelSecurity to_new = {Of(shop_, Kind::kServer, "s2"), "s1-new", nullptr};
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!Hello(to_new).ok()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the new identity is not used";
  }
  ASSERT_TRUE((*ship)->TrySend(ship::Heartbeat{}));
  while (!(*ship)->TryReceive()) {
    ASSERT_FALSE((*ship)->closed()) << (*ship)->cause();
    signal_->WaitFor(signal_->count(), std::chrono::milliseconds(50));
  }
}

class JoinTest : public TlsServerTest {
 protected:
  void SetUp() override {
    TlsServerTest::SetUp();
    auto listener = JoinListener::Start("127.0.0.1:0", directory_, desk_);
    ASSERT_TRUE(listener.ok()) << listener.status().ToString();
    listener_ = std::move(listener).value();
    token_.group = "shop";
    token_.addresses = {"127.0.0.1:1", fmt::format("127.0.0.1:{}", listener_->port())};
    token_.fingerprint = tls::Fingerprint(shop_.certificate_pem()).value();
    request_.set_secret("s");
  }

  Desk desk_;
  std::unique_ptr<JoinListener> listener_;
  tls::JoinToken token_;
  v1::JoinRequest request_;
};

TEST_F(JoinTest, TheSecretReachesAServerOfTheTokensAuthority) {
  const auto answer = JoinGroup(env_, token_, request_);
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_EQ(answer->group(), "shop");
  EXPECT_EQ(desk_.secret, "s");
}

TEST_F(JoinTest, TheSecretReachesNobodyElse) {
  tls::JoinToken token = token_;
  token.fingerprint = tls::Fingerprint(other_.certificate_pem()).value();
  EXPECT_EQ(JoinGroup(env_, token, request_).status().code(), Code::kUnavailable);
  token = token_;
  token.group = "office";
  EXPECT_FALSE(JoinGroup(env_, token, request_).ok());
  // A client of the group that listens: its certificate is of no server.
  ASSERT_TRUE(tls::SaveIdentity(env_, tls::TlsDirectory::Below(temp_.File("c")),
                                *Of(shop_, Kind::kClient, "ann"))
                  .ok());
  auto false_one =
      JoinListener::Start("127.0.0.1:0", tls::TlsDirectory::Below(temp_.File("c")), desk_);
  ASSERT_TRUE(false_one.ok());
  token = token_;
  token.addresses = {fmt::format("127.0.0.1:{}", (*false_one)->port())};
  EXPECT_FALSE(JoinGroup(env_, token, request_).ok());
  EXPECT_EQ(desk_.secret, "");
}

TEST_F(JoinTest, TheListenerHasNothingElse) {
  token_.addresses.erase(token_.addresses.begin());
  const std::string address = token_.addresses.front();
  const auto member = Of(shop_, Kind::kServer, "s2");
  EXPECT_FALSE(
      AdminClient::Connect(address, std::chrono::seconds(20), {member, "s1", nullptr}).ok());
  EXPECT_FALSE(MembershipClient(address, {member, "s1", nullptr}).MakeToken({}).ok());
}

}  // namespace
}  // namespace understudy::rpc
