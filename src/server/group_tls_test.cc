// SPDX-License-Identifier: Apache-2.0
// Which daemons start with TLS, which without, and which not at all.
#include "server/group_tls.h"

#include <gtest/gtest.h>

#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

using base::Code;

class GroupTlsTest : public ::testing::Test {
 protected:
  GroupTlsTest() {
    config_.server.name = "s1";
    config_.server.listen = "127.0.0.1:7400";
    config_.server.advertise = config_.server.listen;
    config_.tls.directory = tls::TlsDirectory::Below(temp_.path()).path;
  }

  void Save(const std::string& name, base::Duration lifetime) {
    const std::string key = tls::NewKey().value();
    const std::string chain =
        authority_
            .Sign(env_, tls::NewRequest(key).value(),
                  {.kind = tls::Kind::kServer, .name = name, .lifetime = lifetime})
            .value();
    ASSERT_TRUE(tls::SaveIdentity(env_, tls::TlsDirectory(config_.tls.directory),
                                  tls::ParseIdentity(key + chain).value())
                    .ok());
  }
  // Until the certificate in the directory has ended.
  void WaitForItsEnd() {
    const auto identity = tls::LoadIdentity(env_, tls::TlsDirectory(config_.tls.directory));
    while (env_.WallNow() < identity->value().certificate.ends) {
    }
  }

  test::TempDir temp_;
  env::Env& env_ = env::PosixEnv();
  const tls::CertificateAuthority authority_ =
      tls::CertificateAuthority::Create(env_, "shop").value();
  Config config_;
};

TEST_F(GroupTlsTest, PlaintextIsForThisMachineOrForThoseWhoAskForIt) {
  for (const char* const local :
       {"127.0.0.1:1", "127.9.9.9:0", "localhost:1", "[::1]:1", "unix:/s"}) {
    config_.server.listen = local;
    const auto none = GroupTls::Open(env_, config_);
    ASSERT_TRUE(none.ok()) << local << ": " << none.status().ToString();
    EXPECT_EQ(*none, nullptr) << local;
  }
  for (const char* const open : {"192.0.2.1:7400", "0.0.0.0:7400", "[::]:7400", "db.example:1"}) {
    config_.server.listen = open;
    config_.tls.off = false;
    const base::Status refused = GroupTls::Open(env_, config_).status();
    EXPECT_EQ(refused.code(), Code::kInvalidArgument) << open;
    EXPECT_NE(refused.message().find("understudy server join"), std::string::npos);
    config_.tls.off = true;
    EXPECT_TRUE(GroupTls::Open(env_, config_).ok()) << open;
  }
}

TEST_F(GroupTlsTest, AnIdentityIsUsedAndMustBeThisServers) {
  Save("s1", std::chrono::hours(1));
  const auto tls = GroupTls::Open(env_, config_);
  ASSERT_TRUE(tls.ok() && *tls != nullptr) << tls.status().ToString();
  EXPECT_FALSE((*tls)->authority().has_value());
  EXPECT_EQ(SecurityTo(tls->get(), "s2").server, "s2");
  Save("s2", std::chrono::hours(1));
  EXPECT_EQ(GroupTls::Open(env_, config_).status().code(), Code::kInvalidArgument);
}

TEST_F(GroupTlsTest, OneThatHasEndedIsRenewedOnlyWhereTheAuthorityIs) {
  Save("s1", tls::kCertificateLifetimeMin);
  WaitForItsEnd();
  const base::Status refused = GroupTls::Open(env_, config_).status();
  EXPECT_NE(refused.message().find("join again"), std::string::npos) << refused.message();
  ASSERT_TRUE(tls::SaveAuthority(env_, tls::TlsDirectory(config_.tls.directory), authority_).ok());
  const auto tls = GroupTls::Open(env_, config_);
  ASSERT_TRUE(tls.ok() && *tls != nullptr) << tls.status().ToString();
  EXPECT_GT((*tls)->identity().Get()->certificate.ends, env_.WallNow());
}

TEST_F(GroupTlsTest, WhatIsReloadedBringsItsAuthority) {
  Save("s1", std::chrono::hours(1));
  const auto tls = GroupTls::Open(env_, config_);
  ASSERT_TRUE(tls.ok() && *tls != nullptr);
  const std::string before = (*tls)->identity().Get()->certificate.serial;
  const std::string ca = (*tls)->directory().ca();
  ASSERT_TRUE(env_.Remove(ca).ok());
  Save("s1", std::chrono::hours(1));
  ASSERT_TRUE(env_.Remove(ca).ok());
  ASSERT_TRUE((*tls)->Reload(env_).ok());
  EXPECT_NE((*tls)->identity().Get()->certificate.serial, before);
  EXPECT_TRUE(env::Exists(env_, ca));
}

TEST_F(GroupTlsTest, TheRevokedDoNotCount) {
  Revocations revocations;
  tls::Certificate peer;
  peer.serial = "ab";
  EXPECT_TRUE(revocations.Check(peer).ok());
  revocations.Replace({"ab", "cd"});
  EXPECT_EQ(revocations.Check(peer).code(), Code::kFenced);
  revocations.Replace({"cd"});
  EXPECT_TRUE(revocations.Check(peer).ok());
}

}  // namespace
}  // namespace understudy::server
