// SPDX-License-Identifier: Apache-2.0
// Every call of the main port has a role, and every role may what it should and nothing else.
#include "rpc/roles.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "understudy/v1/admin.pb.h"
#include "understudy/v1/membership.pb.h"
#include "understudy/v1/replication.pb.h"

namespace understudy::rpc {
namespace {

using base::Role;

// Of every service but Join, which has a listener of its own and knows tokens only.
std::set<std::string> CallsOfThePort() {
  std::set<std::string> paths;
  for (const auto* const file :
       {v1::StatusRequest::descriptor()->file(), v1::SignRequest::descriptor()->file(),
        v1::ShipMessage::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto* const service = file->service(s);
      if (service->name() == "Join") continue;
      for (int m = 0; m < service->method_count(); ++m) {
        paths.insert("/" + service->full_name() + "/" + service->method(m)->name());
      }
    }
  }
  return paths;
}

tls::Certificate Client() {
  tls::Certificate certificate;
  certificate.kind = tls::Kind::kClient;
  certificate.name = "ann";
  return certificate;
}

TEST(Roles, EveryCallHasOneAndOnlyCallsDo) {
  const std::set<std::string> calls = CallsOfThePort();
  EXPECT_GT(calls.size(), 50u);
  std::set<std::string> known;
  for (const CallRole& call : CallRoles()) {
    EXPECT_TRUE(known.insert(std::string(call.path)).second) << call.path << " is there twice";
  }
  for (const std::string& path : calls) {
    EXPECT_TRUE(known.contains(path)) << path << " has no role: add it in src/rpc/roles.cc";
  }
  for (const std::string& path : known) {
    EXPECT_TRUE(calls.contains(path)) << path << " does not exist";
  }
}

TEST(Roles, EachRoleMayWhatItShould) {
  for (const CallRole& call : CallRoles()) {
    const auto may = [&](Role role) { return CheckRole(Client(), role, call.path).ok(); };
    EXPECT_EQ(may(Role::kViewer), call.need == Need::kViewer) << call.path;
    EXPECT_EQ(may(Role::kOperator), call.need == Need::kViewer || call.need == Need::kOperator)
        << call.path;
    EXPECT_EQ(may(Role::kAdmin), call.need != Need::kServer) << call.path;
    tls::Certificate server = Client();
    server.kind = tls::Kind::kServer;
    EXPECT_TRUE(CheckRole(server, Role::kViewer, call.path).ok()) << call.path;
    const bool looks_only = call.need == Need::kViewer && !call.path.ends_with("/Sign");
    EXPECT_FALSE(call.changes && looks_only) << call.path;
    EXPECT_TRUE(call.changes || call.need != Need::kAdmin) << call.path;
  }
}

TEST(Roles, ARefusalSaysWhatIsMissing) {
  const base::Status refused =
      CheckRole(Client(), Role::kViewer, "/understudy.v1.Admin/Switchover");
  EXPECT_EQ(refused.code(), base::Code::kFenced);
  EXPECT_NE(refused.message().find("client ann has the role viewer, and Switchover needs operator"),
            std::string::npos)
      << refused.message();
  EXPECT_FALSE(CheckRole(Client(), Role::kAdmin, "/understudy.v1.Admin/Nothing").ok());
  EXPECT_FALSE(CheckRole(Client(), Role::kAdmin, "").ok());
}

// Who orders for whom, with which role, and what is signed; "-": refused.
TEST(Roles, NobodyGivesMoreThanTheyMay) {
  const auto decide = [](Role own, const std::string& name, const std::string& host) {
    v1::SignRequest order;
    order.set_kind("client");
    order.set_name(name);
    if (!host.empty()) order.add_hosts(host);
    const base::Status status = DecideRole({Client()}, own, order);
    if (!status.ok()) return std::string("-");
    return order.hosts_size() == 1 ? order.hosts(0) : std::string("several");
  };
  const std::string admin = "admin.role.understudy";
  const std::string viewer = "viewer.role.understudy";
  for (const Role role : {Role::kViewer, Role::kOperator}) {
    EXPECT_EQ(decide(role, "ann", ""), std::string(base::RoleName(role)) + ".role.understudy");
    EXPECT_EQ(decide(role, "ann", admin), "-");
    EXPECT_EQ(decide(role, "bob", ""), "-");
    EXPECT_EQ(decide(role, "bob", viewer), "-");
  }
  EXPECT_EQ(decide(Role::kViewer, "ann", viewer), viewer);
  EXPECT_EQ(decide(Role::kAdmin, "ann", ""), admin);
  EXPECT_EQ(decide(Role::kAdmin, "bob", ""), admin);
  EXPECT_EQ(decide(Role::kAdmin, "bob", viewer), viewer);
  EXPECT_EQ(decide(Role::kAdmin, "bob", "db.example.org"), admin);
  EXPECT_EQ(decide(Role::kAdmin, "bob", "guest.role.understudy"), "-");
}

}  // namespace
}  // namespace understudy::rpc
