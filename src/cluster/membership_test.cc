// SPDX-License-Identifier: Apache-2.0
#include "cluster/membership.h"

#include <gtest/gtest.h>

#include "cluster/embedded_coordinator.h"
#include "cluster/registry.h"
#include "testing/temp_dir.h"

namespace understudy::cluster {
namespace {

using base::Code;

class MembershipTest : public ::testing::Test {
 protected:
  MembershipTest() {
    auto coordinator = EmbeddedCoordinator::Open(env_, directory_.File("group.db"));
    EXPECT_TRUE(coordinator.ok()) << coordinator.status().ToString();
    coordinator_ = std::move(coordinator).value();
    membership_ = std::make_unique<Membership>(env_, *coordinator_);
  }

  TokenRecord Token(const std::string& id, std::chrono::milliseconds ttl) {
    TokenRecord token;
    token.id = id;
    token.secret_sha256 = "hash";
    token.expires = {env_.WallNow().unix_ms + ttl.count()};
    EXPECT_TRUE(membership_->AddToken(token).ok());
    return token;
  }
  CertificateRecord Certificate(const std::string& serial, const std::string& name) {
    CertificateRecord record;
    record.serial = serial;
    record.kind = "server";
    record.name = name;
    record.issued = env_.WallNow();
    record.ends = {env_.WallNow().unix_ms + 60'000};
    return record;
  }
  // Of the certificates that are recorded.
  std::set<std::string> Revoked() {
    std::set<std::string> serials;
    const auto all = membership_->Certificates();
    EXPECT_TRUE(all.ok());
    for (const CertificateRecord& each : *all) {
      if (each.is_revoked()) serials.insert(each.serial);
    }
    return serials;
  }

  test::TempDir directory_;
  env::Env& env_ = env::PosixEnv();
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Membership> membership_;
};

TEST_F(MembershipTest, ATokenIsUsedOnce) {
  Token("1", std::chrono::minutes(1));
  const auto token = membership_->CheckToken("1", "hash");
  ASSERT_TRUE(token.ok()) << token.status().ToString();
  EXPECT_TRUE(membership_->Redeem(*token, Certificate("a", "s2")).ok());
  // Who checked it at the same moment comes too late, and leaves no certificate.
  EXPECT_EQ(membership_->Redeem(*token, Certificate("b", "s3")).code(), Code::kFenced);
  EXPECT_EQ(membership_->CheckToken("1", "hash").status().code(), Code::kFenced);
  ASSERT_EQ(membership_->Certificates()->size(), 1u);
  EXPECT_EQ(membership_->Certificates()->front().serial, "a");
}

TEST_F(MembershipTest, AWrongSecretDoesNotUseTheTokenUp) {
  Token("1", std::chrono::minutes(1));
  EXPECT_EQ(membership_->CheckToken("1", "other").status().code(), Code::kFenced);
  EXPECT_EQ(membership_->CheckToken("2", "hash").status().code(), Code::kFenced);
  EXPECT_TRUE(membership_->CheckToken("1", "hash").ok());
}

TEST_F(MembershipTest, AnExpiredTokenIsRefusedAndRemoved) {
  Token("1", std::chrono::milliseconds(-1));
  const base::Status refused = membership_->CheckToken("1", "hash").status();
  EXPECT_EQ(refused.code(), Code::kFenced);
  EXPECT_NE(refused.message().find("expired"), std::string::npos) << refused.message();
  EXPECT_TRUE(membership_->Tokens()->empty());
}

TEST_F(MembershipTest, JoiningAgainRevokesWhatTheNameHadBefore) {
  ASSERT_TRUE(membership_->RecordCertificate(Certificate("a", "s2"), "").ok());
  ASSERT_TRUE(membership_->RecordCertificate(Certificate("b", "s3"), "").ok());
  const TokenRecord token =
      *membership_->CheckToken(Token("1", std::chrono::minutes(1)).id, "hash");
  ASSERT_TRUE(membership_->Redeem(token, Certificate("c", "s2")).ok());
  EXPECT_EQ(Revoked(), std::set<std::string>{"a"});
}

TEST_F(MembershipTest, ARemovedServerGetsNoNewCertificate) {
  ASSERT_TRUE(membership_->RecordCertificate(Certificate("a", "s2"), "").ok());
  EXPECT_TRUE(membership_->RecordCertificate(Certificate("b", "s2"), "a").ok());
  ASSERT_TRUE(membership_->ForgetServer("s2").ok());
  EXPECT_EQ(Revoked(), (std::set<std::string>{"a", "b"}));
  EXPECT_EQ(membership_->RecordCertificate(Certificate("c", "s2"), "b").code(), Code::kFenced);
  EXPECT_EQ(membership_->RecordCertificate(Certificate("c", "s2"), "never").code(), Code::kFenced);
  EXPECT_EQ(membership_->Certificates()->size(), 2u);
}

TEST_F(MembershipTest, WhatHasEndedIsRemoved) {
  Token("1", std::chrono::milliseconds(-1));
  Token("2", std::chrono::minutes(1));
  CertificateRecord ended = Certificate("a", "s2");
  ended.ends = env_.WallNow();
  ASSERT_TRUE(membership_->RecordCertificate(ended, "").ok());
  ASSERT_TRUE(membership_->RecordCertificate(Certificate("b", "s2"), "").ok());
  ASSERT_TRUE(membership_->RemoveEnded().ok());
  EXPECT_EQ(membership_->Tokens()->size(), 1u);
  ASSERT_EQ(membership_->Certificates()->size(), 1u);
  EXPECT_EQ(membership_->Certificates()->front().serial, "b");
}

}  // namespace
}  // namespace understudy::cluster
