// SPDX-License-Identifier: Apache-2.0
// Keys, requests and certificates: what a group's authority signs is accepted, everything else is
// not.
#include <gtest/gtest.h>

#include "testing/mem_env.h"
#include "tls/certificate_authority.h"
#include "tls/identity.h"
#include "tls/tls_directory.h"

namespace understudy::tls {
namespace {

using base::Code;
using std::chrono::hours;

class TlsTest : public ::testing::Test {
 protected:
  static std::string Key() { return NewKey().value(); }
  std::string Sign(const CertificateAuthority& authority, const std::string& key, Kind kind,
                   const std::string& name, base::Duration lifetime = hours(24)) {
    const auto chain = authority.Sign(env_, NewRequest(key).value(),
                                      {.kind = kind, .name = name, .lifetime = lifetime});
    EXPECT_TRUE(chain.ok()) << chain.status().ToString();
    return chain.ok() ? *chain : "";
  }

  env::Env& env_ = env::PosixEnv();
  const CertificateAuthority shop_ = CertificateAuthority::Create(env_, "shop").value();
  const CertificateAuthority other_ = CertificateAuthority::Create(env_, "shop").value();
};

TEST_F(TlsTest, ACertificateSaysWhoItsHolderIsAndHowLong) {
  const std::string chain = Sign(shop_, Key(), Kind::kServer, "s1");
  const auto certificate = VerifyCertificate(chain, shop_.certificate_pem(), env_.WallNow());
  ASSERT_TRUE(certificate.ok()) << certificate.status().ToString();
  EXPECT_EQ(certificate->group, "shop");
  EXPECT_EQ(certificate->Holder(), "server s1");
  EXPECT_EQ(certificate->serial.size(), 32u);
  EXPECT_NEAR(static_cast<double>(certificate->lifetime() / std::chrono::seconds(1)), 86400, 2);
  EXPECT_EQ(certificate->renew_at().unix_ms - certificate->issued.unix_ms,
            (certificate->ends.unix_ms - certificate->issued.unix_ms) * 2 / 3);
}

TEST_F(TlsTest, AnotherAuthorityOfTheSameNameIsRefused) {
  const std::string chain = Sign(other_, Key(), Kind::kServer, "s1");
  EXPECT_FALSE(VerifyCertificate(chain, shop_.certificate_pem(), env_.WallNow()).ok());
  EXPECT_TRUE(VerifyCertificate(chain, other_.certificate_pem(), env_.WallNow()).ok());
  EXPECT_TRUE(
      VerifyCertificate(chain, shop_.certificate_pem() + other_.certificate_pem(), env_.WallNow())
          .ok());
  EXPECT_NE(Fingerprint(shop_.certificate_pem()).value(),
            Fingerprint(other_.certificate_pem()).value());
}

TEST_F(TlsTest, ItIsRefusedBeforeItsTimeAndAfterIt) {
  const std::string chain = Sign(shop_, Key(), Kind::kClient, "ann", hours(1));
  const int64_t now = env_.WallNow().unix_ms;
  const auto valid_at = [&](int64_t ms) {
    return VerifyCertificate(chain, shop_.certificate_pem(), {ms}).ok();
  };
  EXPECT_TRUE(valid_at(now));
  EXPECT_TRUE(valid_at(now - 4 * 60'000));  // another machine's clock may be behind
  EXPECT_FALSE(valid_at(now - 6 * 60'000));
  EXPECT_FALSE(valid_at(now + 3600'000 + 2'000));
}

TEST_F(TlsTest, NobodyIsSignedByASignedOne) {
  const std::string key = Key();
  const std::string chain = Sign(shop_, key, Kind::kServer, "s1");
  // Its holder makes itself an authority: the certificate is of no authority, and is refused.
  EXPECT_FALSE(CertificateAuthority::FromPem(key + chain).ok());
  EXPECT_EQ(shop_.Sign(env_, NewRequest(key).value(), {.kind = Kind::kAuthority, .name = "x"})
                .status()
                .code(),
            Code::kInvalidArgument);
  EXPECT_FALSE(
      VerifyCertificate(shop_.certificate_pem(), shop_.certificate_pem(), env_.WallNow()).ok());
}

TEST_F(TlsTest, OrdersAndRequestsThatAreNoneAreRefused) {
  const std::string request = NewRequest(Key()).value();
  const auto sign = [&](const std::string& pem, const std::string& name,
                        std::vector<std::string> hosts) {
    return shop_.Sign(env_, pem, {.kind = Kind::kServer, .name = name, .hosts = std::move(hosts)})
        .status()
        .code();
  };
  EXPECT_EQ(sign(request, "s1", {"192.0.2.1", "::1", "db.example.org"}), Code::kOk);
  EXPECT_EQ(sign(request, "s 1", {}), Code::kInvalidArgument);
  EXPECT_EQ(sign(request, "s1", {"a,DNS:b"}), Code::kInvalidArgument);
  EXPECT_EQ(sign(request, "s1", std::vector<std::string>(kHostsMax + 1, "a")),
            Code::kInvalidArgument);
  EXPECT_EQ(sign("no request", "s1", {}), Code::kInvalidArgument);
  // One whose signature was damaged.
  std::string damaged = request;
  const size_t middle = damaged.size() / 2;
  damaged[middle] = damaged[middle] == 'A' ? 'B' : 'A';
  EXPECT_EQ(sign(damaged, "s1", {}), Code::kInvalidArgument);
}

TEST_F(TlsTest, AnIdentityMustFitTogether) {
  const std::string key = Key();
  const std::string chain = Sign(shop_, key, Kind::kServer, "s1");
  const auto identity = ParseIdentity(key + chain);
  ASSERT_TRUE(identity.ok()) << identity.status().ToString();
  EXPECT_EQ(identity->authority, shop_.certificate_pem());
  EXPECT_FALSE(ParseIdentity(Key() + chain).ok());                     // another's key
  EXPECT_FALSE(ParseIdentity(chain).ok());                             // no key
  EXPECT_FALSE(ParseIdentity(key).ok());                               // nothing else
  EXPECT_FALSE(ParseIdentity(key + SplitChain(chain)->front()).ok());  // no authority
  EXPECT_FALSE(ParseIdentity(key + SplitChain(chain)->front() + other_.certificate_pem()).ok());
}

// Every byte of an identity changed: refused, or it says the same as before.
TEST_F(TlsTest, AFlippedByteIsRefusedOrChangesNothing) {
  const std::string key = Key();
  const std::string pem = key + Sign(shop_, key, Kind::kServer, "s1");
  const Certificate before = ParseIdentity(pem)->certificate;
  for (size_t i = 0; i < pem.size(); i += 3) {
    std::string damaged = pem;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    const auto identity = ParseIdentity(damaged);
    if (!identity.ok()) continue;
    EXPECT_EQ(identity->certificate.name, before.name) << i;
    EXPECT_EQ(identity->certificate.serial, before.serial) << i;
  }
}

TEST_F(TlsTest, FilesAreReadBackAndAbsentOnesAreNone) {
  test::MemEnv memory;
  const TlsDirectory directory = TlsDirectory::Below("/d");
  ASSERT_TRUE(memory.MakeDirectories("/d").ok());
  EXPECT_FALSE(LoadIdentity(memory, directory)->has_value());
  EXPECT_FALSE(LoadAuthority(memory, directory)->has_value());
  const std::string key = Key();
  const Identity identity = ParseIdentity(key + Sign(shop_, key, Kind::kServer, "s1")).value();
  ASSERT_TRUE(SaveIdentity(memory, directory, identity).ok());
  ASSERT_TRUE(SaveAuthority(memory, directory, shop_).ok());
  EXPECT_EQ(LoadIdentity(memory, directory)->value().pem, identity.pem);
  EXPECT_EQ(LoadAuthority(memory, directory)->value().pem(), shop_.pem());
}

}  // namespace
}  // namespace understudy::tls
