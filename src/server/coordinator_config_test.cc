// SPDX-License-Identifier: Apache-2.0
#include "server/coordinator_config.h"

#include <gtest/gtest.h>

#include "server/config.h"
#include "server/coordinator_factory.h"
#include "testing/mem_env.h"

namespace understudy::server {
namespace {

constexpr const char* kServer = R"([server]
name = "s1"
data_dir = "/d"
listen = "127.0.0.1:0"
[coordinator]
)";

base::Result<Config> Parse(const std::string& coordinator) {
  return ParseConfig(kServer + coordinator, "s.toml");
}

void ExpectRefused(const std::string& coordinator, const std::string& part) {
  const base::Result<Config> config = Parse(coordinator);
  EXPECT_EQ(config.status().code(), base::Code::kInvalidArgument) << coordinator;
  EXPECT_NE(config.status().message().find(part), std::string::npos)
      << coordinator << ": " << config.status().message();
}

TEST(CoordinatorConfig, AnEtcdThatOthersRun) {
  const auto config = Parse(R"(kind = "etcd"
endpoints = ["10.0.0.1:2379", "etcd.example:2379"]
group = "shop"
user = "understudy"
password_file = "/etc/u/password"
ca_file = "/etc/u/ca.pem"
cert_file = "/etc/u/cert.pem"
key_file = "/etc/u/key.pem"
)");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->coordinator.endpoints,
            (std::vector<std::string>{"10.0.0.1:2379", "etcd.example:2379"}));
  EXPECT_EQ(config->coordinator.group, "shop");
  EXPECT_EQ(config->coordinator.key_file, "/etc/u/key.pem");
  EXPECT_FALSE(config->coordinator.runs_member());
}

TEST(CoordinatorConfig, AManagedMemberNeedsLittle) {
  const auto config = Parse("kind = \"etcd\"\netcd = \"managed\"\n");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  const CoordinatorConfig& coordinator = config->coordinator;
  EXPECT_TRUE(coordinator.runs_member());
  EXPECT_EQ(coordinator.managed.name, "s1");
  EXPECT_EQ(coordinator.managed.initial_cluster.at("s1"), "127.0.0.1:2380");
  EXPECT_EQ(coordinator.endpoints, (std::vector<std::string>{"127.0.0.1:2379"}));
}

TEST(CoordinatorConfig, MembersAreATableOrAList) {
  for (const char* members : {R"({s1 = "10.0.0.1:2380", s2 = "http://10.0.0.2:2380"})",
                              R"(["s1=http://10.0.0.1:2380", "s2=10.0.0.2:2380"])"}) {
    const auto config = Parse(std::string(R"(kind = "etcd"
etcd = "managed"
[coordinator.managed]
peer_listen = "0.0.0.0:2380"
client_listen = "127.0.0.1:9"
initial_cluster = )") + members +
                              "\n");
    ASSERT_TRUE(config.ok()) << config.status().ToString();
    const std::map<std::string, std::string> both = {{"s1", "10.0.0.1:2380"},
                                                     {"s2", "10.0.0.2:2380"}};
    EXPECT_EQ(config->coordinator.managed.initial_cluster, both);
    EXPECT_EQ(config->coordinator.endpoints.front(), "127.0.0.1:9");
  }
}

TEST(CoordinatorConfig, WhatDoesNotGoTogetherIsRefusedByKey) {
  ExpectRefused("kind = \"zookeeper\"\n", "\"embedded\" and \"etcd\"");
  ExpectRefused("kind = \"embedded\"\n", "coordinator.path must be set");
  ExpectRefused("path = \"/c\"\nendpoints = [\"a:1\"]\n", "coordinator.endpoints is for kind");
  ExpectRefused("path = \"/c\"\n[coordinator.managed]\nname = \"x\"\n", "coordinator.managed");
  ExpectRefused("kind = \"etcd\"\n", "coordinator.endpoints must be set");
  const std::string etcd = "kind = \"etcd\"\nendpoints = [\"a:1\"]\n";
  ExpectRefused(etcd + "path = \"/c\"\n", "coordinator.path is for kind");
  ExpectRefused(etcd + "user = \"x\"\n", "go together");
  ExpectRefused(etcd + "ca_file = \"x\"\nkey_file = \"x\"\n", "go together");
  ExpectRefused(etcd + "cert_file = \"x\"\nkey_file = \"x\"\n", "needs coordinator.ca_file");
  ExpectRefused(etcd + "group = \"a/b\"\n", "coordinator.group");
  ExpectRefused(etcd + "etcd = \"mine\"\n", "allowed is \"managed\"");
  ExpectRefused(etcd + "[coordinator.managed]\nname = \"x\"\n", "etcd = \"managed\" only");
  const std::string managed = "kind = \"etcd\"\netcd = \"managed\"\n";
  ExpectRefused(managed + "ca_file = \"x\"\n", "no TLS");
  ExpectRefused(managed + "[coordinator.managed]\ninitial_cluster = {s2 = \"a:1\"}\n", "has no s1");
}

TEST(CoordinatorConfig, ListsAndAddressesAreChecked) {
  const std::string etcd = "kind = \"etcd\"\n";
  ExpectRefused(etcd + "endpoints = \"a:1\"\n", "must be a list");
  ExpectRefused(etcd + "endpoints = []\n", "must be a list");
  ExpectRefused(etcd + "endpoints = [1]\n", "must be a text");
  ExpectRefused(etcd + "endpoints = [\"http://a:1\"]\n", "without what is before");
  ExpectRefused(etcd + "endpoints = [\"a\"]\n", "not host:port");
  ExpectRefused(etcd + "endpoints = [\"a:0\"]\n", "not host:port");
  ExpectRefused(etcd + "endpoints = [\"a:70000\"]\n", "not host:port");
  ExpectRefused(etcd + "endpoints = [\"a:1\", \"a:1\"]\n", "twice");
  ExpectRefused(etcd + "[coordinator.managed]\ninitial_cluster = [\"s1\"]\n", "entries such as");
  ExpectRefused(etcd + "[coordinator.managed]\ninitial_cluster = {s1 = \"https://a:1\"}\n", "s1");
  ExpectRefused(etcd + "[coordinator.managed]\ninitial_cluster = [\"s1=a:1\", \"s1=a:2\"]\n",
                "twice");
  ExpectRefused(etcd + "[coordinator.managed]\npeer_liste = \"a:1\"\n",
                "the nearest is coordinator.managed.peer_listen");
  ExpectRefused(etcd + "[coordinator.other]\n", "there is no key coordinator.other");
}

TEST(CoordinatorFactory, AFileThatIsMissingOrEmptyNamesTheKey) {
  test::MemEnv env;
  CoordinatorConfig config;
  config.kind = CoordinatorConfig::kEtcd;
  config.endpoints = {"127.0.0.1:1"};
  config.user = "x";
  config.password_file = "/none";
  const base::Status missing = OpenCoordinator(env, config, nullptr).status();
  EXPECT_NE(missing.message().find("coordinator.password_file"), std::string::npos);
  ASSERT_TRUE(env.MakeDirectories("/f").ok());
  ASSERT_TRUE(env::WriteFileAtomically(env, "/f/empty", base::AsBytes(std::string("\n"))).ok());
  config.password_file.clear();
  config.ca_file = "/f/empty";
  const base::Status empty = OpenCoordinator(env, config, nullptr).status();
  EXPECT_NE(empty.message().find("coordinator.ca_file: /f/empty is empty"), std::string::npos)
      << empty.ToString();
}

}  // namespace
}  // namespace understudy::server
