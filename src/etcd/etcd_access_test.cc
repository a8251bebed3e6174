// SPDX-License-Identifier: Apache-2.0
// TLS with a CA of the test's own, and users: what works, and what is said when it does not.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "etcd/etcd_client.h"
#include "etcd/etcd_fixture.h"

namespace understudy::etcd {
namespace {

void RunShell(const std::string& script) { ASSERT_EQ(std::system(script.c_str()), 0) << script; }

// ca.pem; server.pem and client.pem signed by it, for 127.0.0.1, each with NAME.key.
void MakeCertificates(const test::TempDir& directory) {
  RunShell(fmt::format(R"(cd '{}' && exec 2>openssl.txt
    key() {{ openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }}
    key ca && openssl req -x509 -new -key ca.key -subj /CN=ca -days 2 -out ca.pem || exit 1
    echo 'subjectAltName=IP:127.0.0.1' > names
    for name in server client; do
      key $name && openssl req -new -key $name.key -subj /CN=$name -out $name.csr &&
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
          -extfile names -out $name.pem || exit 1
    done)",
                       directory.path()));
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class EtcdTls : public testing::Test {
 protected:
  static test::EtcdCluster::Options WithTls(const test::TempDir& directory) {
    MakeCertificates(directory);
    test::EtcdCluster::Options options;
    options.client_scheme = "https";
    options.arguments = {"--cert-file",        directory.File("server.pem"),
                         "--key-file",         directory.File("server.key"),
                         "--trusted-ca-file",  directory.File("ca.pem"),
                         "--client-cert-auth", "--auto-tls=false"};
    return options;
  }
  EtcdOptions Right() const {
    EtcdOptions options = OptionsOf(cluster_);
    options.ca = ReadText(directory_.File("ca.pem"));
    options.certificate = ReadText(directory_.File("client.pem"));
    options.key = ReadText(directory_.File("client.key"));
    return options;
  }
  static base::Status OpenQuickly(EtcdOptions options) {
    options.call_limit = std::chrono::milliseconds(1500);
    return EtcdCoordinator::Open(options).status();
  }

  test::TempDir directory_;
  test::EtcdCluster cluster_{WithTls(directory_)};
};

TEST_F(EtcdTls, ReadsWritesAndWatches) {
  const auto coordinator = OpenReady(Right());
  const auto start = Put(*coordinator, "a", "1");
  ASSERT_TRUE(start.ok()) << start.status().ToString();
  EXPECT_EQ(ValueOf(*coordinator, "a"), "1");
  EXPECT_TRUE(coordinator->ChangesSince(start->revision).ok());
}

TEST_F(EtcdTls, WhoIsNotTrustedIsUnavailable) {
  OpenReady(Right());
  const test::TempDir other;
  MakeCertificates(other);
  EtcdOptions options = Right();
  options.ca = ReadText(other.File("ca.pem"));
  const base::Status wrong_ca = OpenQuickly(options);
  EXPECT_EQ(wrong_ca.code(), base::Code::kUnavailable);
  EXPECT_NE(wrong_ca.message().find("certificate verify failed"), std::string::npos)
      << wrong_ca.message();

  options = Right();
  options.certificate = ReadText(other.File("client.pem"));
  options.key = ReadText(other.File("client.key"));
  EXPECT_EQ(OpenQuickly(options).code(), base::Code::kUnavailable);

  options = Right();
  options.certificate.clear();
  options.key.clear();
  EXPECT_EQ(OpenQuickly(options).code(), base::Code::kUnavailable);

  EXPECT_EQ(OpenQuickly(OptionsOf(cluster_)).code(), base::Code::kUnavailable) << "without TLS";
}

class EtcdUsers : public testing::Test {
 protected:
  static test::EtcdCluster::Options CheapHashes() {
    test::EtcdCluster::Options options;
    options.arguments = {"--bcrypt-cost", "4"};
    return options;
  }
  void SetUp() override {
    OpenReady(OptionsOf(cluster_));
    EtcdClient client(OptionsOf(cluster_));
    const base::Status done =
        client.Repeat("users", [](grpc::ClientContext&, const EtcdClient::Endpoint& endpoint) {
          etcdserverpb::AuthUserAddRequest user;
          user.set_name("root");
          user.set_password("secret");
          etcdserverpb::AuthUserAddResponse added;
          grpc::ClientContext first;
          grpc::Status status = endpoint.auth->UserAdd(&first, user, &added);
          if (!status.ok()) return status;
          etcdserverpb::AuthUserGrantRoleRequest role;
          role.set_user("root");
          role.set_role("root");
          etcdserverpb::AuthUserGrantRoleResponse granted;
          grpc::ClientContext second;
          status = endpoint.auth->UserGrantRole(&second, role, &granted);
          if (!status.ok()) return status;
          etcdserverpb::AuthEnableResponse enabled;
          grpc::ClientContext third;
          return endpoint.auth->AuthEnable(&third, {}, &enabled);
        });
    ASSERT_TRUE(done.ok()) << done.ToString();
  }
  EtcdOptions Right() const {
    EtcdOptions options = OptionsOf(cluster_);
    options.user = "root";
    options.password = "secret";
    return options;
  }

  test::EtcdCluster cluster_{CheapHashes()};
};

TEST_F(EtcdUsers, LogsInAndAgainWhenTheLoginHasEnded) {
  const auto coordinator = OpenReady(Right());
  const auto start = Put(*coordinator, "a", "1");
  ASSERT_TRUE(start.ok()) << start.status().ToString();
  cluster::Revision seen = start->revision;
  ASSERT_TRUE(coordinator->ChangesSince(seen).ok());
  const auto lease = coordinator->GrantLease(std::chrono::seconds(20));
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();

  cluster_.Kill(0);
  cluster_.Start(0);  // it has forgotten the tokens it gave
  base::Result<cluster::TxnResult> written = base::Internal("not written yet");
  ASSERT_TRUE(Until([&] {
    written = Put(*coordinator, "a", "2");
    return written.ok() || written.status().code() != base::Code::kUnavailable;
  }));
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  EXPECT_TRUE(coordinator->KeepAlive(*lease).ok());
  EXPECT_TRUE(Until([&] {
    const auto changes = coordinator->ChangesSince(seen);
    return changes.ok() && !changes->changes.empty();
  })) << "the watch did not log in again";
}

TEST_F(EtcdUsers, AWrongOrMissingLoginNamesTheSetting) {
  EtcdOptions options = Right();
  options.password = "wrong";
  const base::Status wrong = EtcdCoordinator::Open(options).status();
  EXPECT_EQ(wrong.code(), base::Code::kInvalidArgument) << wrong.ToString();
  EXPECT_NE(wrong.message().find("coordinator.password_file"), std::string::npos);
  EXPECT_NE(wrong.message().find(cluster_.endpoint(0)), std::string::npos);
  EXPECT_EQ(wrong.message().find("wrong"), std::string::npos) << "passwords are not printed";

  options.user.clear();
  const base::Status missing = EtcdCoordinator::Open(options).status();
  EXPECT_EQ(missing.code(), base::Code::kInvalidArgument) << missing.ToString();
  EXPECT_NE(missing.message().find("set coordinator.user"), std::string::npos);
}

TEST(EtcdUsersOff, ALoginThatEtcdDoesNotWantIsNoObstacle) {
  const test::EtcdCluster cluster;
  EtcdOptions options = OptionsOf(cluster);
  options.user = "root";
  options.password = "secret";
  const auto coordinator = OpenReady(options);
  EXPECT_TRUE(Put(*coordinator, "a", "1").ok());
}

}  // namespace
}  // namespace understudy::etcd
