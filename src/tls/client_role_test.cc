// SPDX-License-Identifier: Apache-2.0
#include "tls/client_role.h"

#include <gtest/gtest.h>

#include "env/env.h"
#include "tls/certificate_authority.h"

namespace understudy::tls {
namespace {

using base::Role;

class ClientRoleTest : public ::testing::Test {
 protected:
  base::Result<Role> RoleWith(std::vector<std::string> hosts) {
    env::Env& env = env::PosixEnv();
    const auto shop = CertificateAuthority::Create(env, "shop").value();
    const std::string request = NewRequest(NewKey().value()).value();
    return RoleOfCertificate(
        shop.Sign(env, request, {.kind = Kind::kClient, .name = "ann", .hosts = std::move(hosts)})
            .value());
  }
};

TEST_F(ClientRoleTest, ItIsWhatWasSigned) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    EXPECT_EQ(RoleWith({RoleHost(role)}).value(), role);
    EXPECT_EQ(RoleOfHost(RoleHost(role)).value(), role);
  }
}

TEST_F(ClientRoleTest, OneWithoutHasAllRights) {
  EXPECT_EQ(RoleWith({}).value(), Role::kAdmin);
  EXPECT_EQ(RoleWith({"db.example.org", "192.0.2.1"}).value(), Role::kAdmin);
}

TEST_F(ClientRoleTest, TheLeastOfSeveralCounts) {
  EXPECT_EQ(RoleWith({RoleHost(Role::kAdmin), RoleHost(Role::kViewer)}).value(), Role::kViewer);
}

TEST_F(ClientRoleTest, AnUnknownOneIsNotAllRights) {
  EXPECT_FALSE(RoleWith({"guest.role.understudy"}).ok());
  EXPECT_FALSE(RoleWith({RoleHost(Role::kAdmin), ".role.understudy"}).ok());
  EXPECT_FALSE(RoleOfCertificate("no certificate").ok());
}

}  // namespace
}  // namespace understudy::tls
