// SPDX-License-Identifier: Apache-2.0
// The lab's state file, its processes and what it does with a daemon that never gets ready.
#include "cli/lab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "cli/command.h"
#include "cli/lab_etcd.h"
#include "cli/lab_process.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

LabState SomeLab() {
  LabState state;
  state.directory = "/lab";
  state.daemon = "/usr/bin/understudyd";
  state.forwarder = {.pid = 11, .start_time = 12};
  state.servers = {{.name = "s1", .address = "127.0.0.1:7001", .process = {21, 22}},
                   {.name = "s2", .address = "127.0.0.1:7002", .process = {}}};
  state.links = {{.from = "s1", .to = "s2", .port = 9001},
                 {.from = "s2", .to = "s1", .port = 9002}};
  return state;
}

TEST(LabState, SurvivesTheFile) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/lab").ok());
  ASSERT_TRUE(SaveLabState(env, SomeLab()).ok());
  const auto loaded = LoadLabState(env, "/lab");
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(ToText(ToJson(*loaded)), ToText(ToJson(SomeLab())));
}

TEST(LabState, AbsentLabSaysHowToMakeOne) {
  test::MemEnv env;
  const base::Status status = LoadLabState(env, "/lab").status();
  EXPECT_EQ(status.code(), base::Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("lab up --dir /lab"));
}

TEST(LabState, DamagedFileIsCorruptionAndNeverACrash) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/lab").ok());
  const std::string good = ToText(ToJson(SomeLab()));
  // Every byte replaced by one that breaks either the JSON or a member.
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '{' ? '[' : '{';
    const base::ByteView bytes(reinterpret_cast<const uint8_t*>(bad.data()), bad.size());
    ASSERT_TRUE(env::WriteFileAtomically(env, LabStatePath("/lab"), bytes).ok());
    const auto loaded = LoadLabState(env, "/lab");
    if (!loaded.ok()) {
      EXPECT_EQ(loaded.status().code(), base::Code::kCorruption) << i;
    }
  }
  for (const char* text : {"", "[]", "null", "{\"version\":2}", "{\"version\":\"1\"}"}) {
    EXPECT_EQ(LabStateFromJson(Json::parse(text, nullptr, false)).status().code(),
              base::Code::kCorruption)
        << text;
  }
}

TEST(LabState, UnknownServerIsNamedWithTheKnownOnes) {
  const LabState lab = SomeLab();
  EXPECT_THAT(lab.Find("s7").status().message(), HasSubstr("'s7'; it has s1, s2"));
}

TEST(LabState, PortsComeFromTheEndOfAnAddress) {
  EXPECT_EQ(PortOf("127.0.0.1:7001").value(), 7001);
  for (const char* text : {"", ":", "a:", "a:0", "a:70000", "a:1x", "7001"}) {
    EXPECT_EQ(PortOf(text).status().code(), base::Code::kInvalidArgument) << text;
  }
}

TEST(LabState, NamesOfServersAreAddressesInsideALab) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/lab").ok());
  ASSERT_TRUE(SaveLabState(env, SomeLab()).ok());
  EXPECT_EQ(ResolveServer(env, "s2", "/lab").value(), "127.0.0.1:7002");
  EXPECT_EQ(ResolveServer(env, "db.example:7400", "/lab").value(), "db.example:7400");
  EXPECT_EQ(ResolveServer(env, "s9", "/lab").status().code(), base::Code::kNotFound);
  EXPECT_EQ(ResolveServer(env, "s2", "").status().code(), base::Code::kInvalidArgument);
}

TEST(LabConfig, PeersGoThroughTheForwarder) {
  const LabState lab = SomeLab();
  const std::string text = RenderServerConfig(lab, lab.servers[0]);
  EXPECT_THAT(text, HasSubstr("s2 = '127.0.0.1:9001'"));
  EXPECT_THAT(text, testing::Not(HasSubstr("7002"))) << "no way around the forwarder";
  EXPECT_THAT(text, HasSubstr("listen = '127.0.0.1:7001'"));
}

TEST(LabConfig, TheWebServerIsThereWhereItHasAPort) {
  LabState lab = SomeLab();
  EXPECT_THAT(RenderServerConfig(lab, lab.servers[0]), testing::Not(HasSubstr("[web]")));
  lab.servers[0].web = "127.0.0.1:8001";
  const auto loaded = LabStateFromJson(ToJson(lab));
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  const std::string text = RenderServerConfig(*loaded, loaded->servers[0]);
  EXPECT_THAT(text, HasSubstr("[web]\nlisten = '127.0.0.1:8001'"));
}

// The command prints what it is told to a shell, and stays until it is ended.
base::Result<ProcessId> SpawnShell(const std::string& script, const std::string& output,
                                   const std::string& notify = "") {
  return Spawn({.command = {"/bin/sh", "-c", script},
                .environment = {{"NOTIFY_SOCKET", notify}},
                .output_path = output});
}

LabState EtcdLab() {
  LabState lab = SomeLab();
  lab.etcd = true;
  lab.servers[0].etcd_client = "127.0.0.1:8001";
  lab.servers[0].etcd_peer = "127.0.0.1:8002";
  lab.servers[1].etcd_client = "127.0.0.1:8003";
  lab.servers[1].etcd_peer = "127.0.0.1:8004";
  return lab;
}

TEST(LabConfig, EveryServerOfAnEtcdLabHasAMemberAndPrefersIt) {
  const LabState lab = EtcdLab();
  const std::string text = RenderServerConfig(lab, lab.servers[1]);
  EXPECT_THAT(text, HasSubstr("etcd = 'managed'"));
  EXPECT_THAT(text, HasSubstr("endpoints = [ '127.0.0.1:8003', '127.0.0.1:8001' ]"));
  EXPECT_THAT(text, HasSubstr("peer_listen = '127.0.0.1:8004'"));
  EXPECT_THAT(text, HasSubstr("s1 = '127.0.0.1:8002'"));
  EXPECT_THAT(text, testing::Not(HasSubstr("cluster.db")));
}

TEST(LabEtcd, MembersKeepTheirAddresses) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/lab").ok());
  LabState lab = SomeLab();
  lab.servers.pop_back();
  EXPECT_FALSE(LabHasEtcd(env, "/lab"));
  ASSERT_TRUE(AssignMembers(env, lab).ok());
  const std::string client = lab.servers[0].etcd_client;
  EXPECT_TRUE(PortOf(client).ok());
  EXPECT_NE(client, lab.servers[0].etcd_peer);
  lab.servers[0].etcd_client.clear();
  ASSERT_TRUE(AssignMembers(env, lab).ok());
  EXPECT_EQ(lab.servers[0].etcd_client, client);

  LabState larger = SomeLab();
  larger.servers.push_back({.name = "s3", .address = "127.0.0.1:7003", .process = {}});
  EXPECT_THAT(AssignMembers(env, larger).message(), HasSubstr("made with 1 etcd members"));
  LabState even = SomeLab();
  EXPECT_THAT(AssignMembers(env, even).message(), HasSubstr("not 2"));
}

TEST(LabProcess, KnowsWhatAProcessStarted) {
  const test::TempDir temp;
  const auto process =
      SpawnShell("sh -c 'read never < /dev/zero' & read never < /dev/zero", temp.File("out"));
  ASSERT_TRUE(process.ok()) << process.status().ToString();
  std::vector<ProcessId> children;
  const auto end = std::chrono::steady_clock::now() + seconds(10);
  while (children.empty() && std::chrono::steady_clock::now() < end) {
    children = ChildrenOf(*process);  // until the shell has come that far
  }
  ASSERT_EQ(children.size(), 1u);
  EXPECT_EQ(ChildrenOf(ProcessId{.pid = process->pid, .start_time = 1}).size(), 0u);
  for (const ProcessId& each : {*process, children[0]}) {
    EXPECT_TRUE(Signal(each, SIGKILL).ok());
    EXPECT_TRUE(WaitGone(each, seconds(10)).ok());
  }
}

TEST(LabProcess, StartsSignalsAndEndsAProcess) {
  const test::TempDir temp;
  const auto process = SpawnShell("read never < /dev/zero", temp.File("out"));
  ASSERT_TRUE(process.ok()) << process.status().ToString();
  EXPECT_EQ(StateOf(*process), ProcessState::kRunning);
  EXPECT_EQ(WaitGone(*process, milliseconds(1)).code(), base::Code::kTimedOut);
  ASSERT_TRUE(Signal(*process, SIGKILL).ok());
  EXPECT_TRUE(WaitGone(*process, seconds(10)).ok());
  EXPECT_EQ(StateOf(*process), ProcessState::kGone);
  EXPECT_EQ(Signal(*process, SIGKILL).code(), base::Code::kNotFound);
}

TEST(LabProcess, NeverTouchesAProcessThatMerelyHasTheId) {
  // Our own id with another start time: a recycled one, as far as the lab can tell.
  const ProcessId recycled{.pid = ::getpid(), .start_time = 1};
  EXPECT_EQ(StateOf(recycled), ProcessState::kGone);
  EXPECT_EQ(Signal(recycled, SIGKILL).code(), base::Code::kNotFound);
  EXPECT_TRUE(WaitGone(recycled, seconds(1)).ok());
  EXPECT_EQ(Signal(ProcessId{}, SIGKILL).code(), base::Code::kNotFound) << "0 would be our group";
}

TEST(LabProcess, ReadinessOfAProcessThatEndsIsKnownAtOnce) {
  const test::TempDir temp;
  auto ready = ReadySocket::Create();
  ASSERT_TRUE(ready.ok());
  const auto process = SpawnShell("echo no luck; exit 3", temp.File("out"), ready->address());
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(ready->Wait(*process, seconds(20)).code(), base::Code::kUnavailable);
  EXPECT_EQ(TailOf(temp.File("out"), 100), "no luck\n");
}

TEST(LabProcess, ReadinessIsHeardAndTimesOut) {
  auto ready = ReadySocket::Create();
  ASSERT_TRUE(ready.ok());
  const ProcessId self{.pid = ::getpid()};
  EXPECT_EQ(ready->Wait(self, milliseconds(1)).code(), base::Code::kTimedOut);
  ASSERT_EQ(::setenv("NOTIFY_SOCKET", ready->address().c_str(), 1), 0);
  SayReady();
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(ready->Wait(self, seconds(10)).ok());
}

TEST(LabProcess, FreePortsAreDifferent) {
  const auto ports = FreePorts(20);
  ASSERT_TRUE(ports.ok());
  EXPECT_EQ(std::set<uint16_t>(ports->begin(), ports->end()).size(), 20u);
}

TEST(Lab, UpWithADaemonThatIsNotThereMakesNothing) {
  const test::TempDir temp;
  LabUpOptions options;
  options.directory = temp.File("lab");
  options.daemon = temp.File("understudyd");
  const base::Status status = Lab::Up(env::PosixEnv(), options).status();
  EXPECT_EQ(status.code(), base::Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("understudyd"));
  EXPECT_FALSE(env::Exists(env::PosixEnv(), options.directory));
}

TEST(Lab, UpThatFailsLeavesNothingRunningAndSaysWhy) {
  const test::TempDir temp;
  const std::string fake = temp.File("fake");
  {
    std::ofstream script(fake);
    script << "#!/bin/sh\necho the disk is on fire\nexit 1\n";
  }
  std::filesystem::permissions(fake, std::filesystem::perms::owner_all);
  LabUpOptions options;
  options.directory = temp.File("lab");
  options.daemon = fake;
  options.command = fake;  // the forwarder fails first
  const base::Status status = Lab::Up(env::PosixEnv(), options).status();
  EXPECT_EQ(status.code(), base::Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("the disk is on fire"));
  EXPECT_FALSE(LabExists(env::PosixEnv(), options.directory));
}

TEST(Lab, SecondCommandAtTheSameTimeIsBusy) {
  const test::TempDir temp;
  LabState state = SomeLab();
  state.directory = temp.path();
  ASSERT_TRUE(SaveLabState(env::PosixEnv(), state).ok());
  const auto first = Lab::Open(env::PosixEnv(), temp.path());
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_EQ(Lab::Open(env::PosixEnv(), temp.path()).status().code(), base::Code::kBusy);
}

TEST(Lab, DownOfALabWhoseProcessesAreLongGoneForgetsIt) {
  const test::TempDir temp;
  LabState state = SomeLab();
  state.directory = temp.path();
  // Numbers that were given to somebody else meanwhile, who must survive.
  state.forwarder = {.pid = ::getpid(), .start_time = 1};
  state.servers[0].process = {.pid = ::getpid(), .start_time = 1};
  ASSERT_TRUE(SaveLabState(env::PosixEnv(), state).ok());
  auto lab = Lab::Open(env::PosixEnv(), temp.path());
  ASSERT_TRUE(lab.ok());
  EXPECT_TRUE(lab->Down().ok());
  EXPECT_FALSE(LabExists(env::PosixEnv(), temp.path()));
}

}  // namespace
}  // namespace understudy::cli
