// SPDX-License-Identifier: Apache-2.0
// Runs the real etcd, and programs that behave badly in its place.
#include "server/managed_etcd.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "server/coordinator_factory.h"
#include "server/rotating_file.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

constexpr std::chrono::seconds kLimit{30};

// Looks until it holds; the wait is the pause between two looks.
bool Until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  base::Mutex mutex;
  base::CondVar nothing;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    base::MutexLock lock(mutex);
    nothing.WaitFor(mutex, std::chrono::milliseconds(20));
  }
  return true;
}

std::string FreeAddress() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(name);
  CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0);
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) == 0);
  ::close(fd);
  return fmt::format("127.0.0.1:{}", ntohs(name.sin_port));
}

ManagedEtcd::Options OptionsIn(const test::TempDir& directory) {
  ManagedEtcd::Options options;
  options.directory = directory.File("etcd");
  options.name = "s1";
  options.client_listen = FreeAddress();
  options.peer_listen = FreeAddress();
  options.initial_cluster = {{"s1", options.peer_listen}};
  options.token = "test";
  return options;
}

// A program that a shell runs instead of etcd.
std::string Script(const test::TempDir& directory, const std::string& text) {
  const std::string path = directory.File("program");
  std::ofstream(path) << "#!/bin/sh\n" << text;
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

bool IsGone(pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

TEST(ManagedEtcd, RunsAMemberThatComesBackWhenItIsKilled) {
  const test::TempDir directory;
  const ManagedEtcd::Options options = OptionsIn(directory);
  const auto member = ManagedEtcd::Start(env::PosixEnv(), options);
  ASSERT_TRUE(member.ok()) << member.status().ToString();
  CoordinatorConfig config;
  config.kind = CoordinatorConfig::kEtcd;
  config.endpoints = {options.client_listen};
  std::unique_ptr<cluster::Coordinator> coordinator;
  const auto opens = [&] {
    auto opened = OpenCoordinator(env::PosixEnv(), config, nullptr);
    if (opened.ok()) coordinator = std::move(opened).value();
    return opened.ok();
  };
  ASSERT_TRUE(Until(opens));
  ASSERT_TRUE(coordinator->Txn({}, {cluster::Operation::Put("a", "1")}).ok());

  const pid_t first = (*member)->pid();
  ASSERT_GT(first, 0);
  ::kill(first, SIGKILL);
  EXPECT_TRUE(Until([&] { return (*member)->pid() > 0 && (*member)->pid() != first; }));
  ASSERT_TRUE(Until(opens));
  EXPECT_EQ(coordinator->Get("a")->value, "1");
  const pid_t second = (*member)->pid();
  (*member)->Stop();
  EXPECT_TRUE(IsGone(second));
  EXPECT_EQ((*member)->pid(), 0);
  EXPECT_GT(std::filesystem::file_size(directory.File("etcd/etcd.log")), 0u);
}

TEST(ManagedEtcd, WhatDoesNotEndWhenAskedIsKilled) {
  const test::TempDir directory;
  ManagedEtcd::Options options = OptionsIn(directory);
  options.program =
      Script(directory, "trap '' TERM\necho ready\nwhile :; do read x; done </dev/zero");
  options.stop_limit = std::chrono::milliseconds(200);
  const auto member = ManagedEtcd::Start(env::PosixEnv(), options);
  ASSERT_TRUE(member.ok()) << member.status().ToString();
  ASSERT_TRUE(Until([&] {  // from now on it ignores SIGTERM
    std::error_code ignored;
    return std::filesystem::file_size(directory.File("etcd/etcd.log"), ignored) == 6;
  }));
  const pid_t pid = (*member)->pid();
  (*member)->Stop();
  EXPECT_TRUE(IsGone(pid));
}

TEST(ManagedEtcd, ItsOutputIsKeptWithinALimit) {
  const test::TempDir directory;
  ManagedEtcd::Options options = OptionsIn(directory);
  options.program = Script(directory, "exec yes 'a line that it prints'");
  options.log_bytes_max = 100'000;
  const auto member = ManagedEtcd::Start(env::PosixEnv(), options);
  ASSERT_TRUE(member.ok()) << member.status().ToString();
  EXPECT_TRUE(Until([&] { return std::filesystem::exists(directory.File("etcd/etcd.log.1")); }));
  (*member)->Stop();
  EXPECT_LE(std::filesystem::file_size(directory.File("etcd/etcd.log")), 100'000u);
  EXPECT_LE(std::filesystem::file_size(directory.File("etcd/etcd.log.1")), 100'000u);
}

TEST(ManagedEtcd, AProgramThatEndsAtOnceIsTriedAgainUntilStopped) {
  const test::TempDir directory;
  ManagedEtcd::Options options = OptionsIn(directory);
  options.program = Script(directory, "echo no luck; exit 3");
  const auto member = ManagedEtcd::Start(env::PosixEnv(), options);
  ASSERT_TRUE(member.ok());
  EXPECT_TRUE(Until([&] {
    std::error_code ignored;
    return std::filesystem::file_size(directory.File("etcd/etcd.log"), ignored) == 16;
  })) << "two starts";
  (*member)->Stop();
}

TEST(ManagedEtcd, ItCannotSpeakToTheInitSystemInOurPlace) {
  const test::TempDir directory;
  ManagedEtcd::Options options = OptionsIn(directory);
  options.program = Script(directory, "echo \"[$NOTIFY_SOCKET]\"; exec sleep 100");
  ASSERT_EQ(::setenv("NOTIFY_SOCKET", "@somewhere", 1), 0);
  const auto member = ManagedEtcd::Start(env::PosixEnv(), options);
  ASSERT_TRUE(member.ok()) << member.status().ToString();
  std::string line;
  EXPECT_TRUE(Until([&] {
    std::ifstream file(directory.File("etcd/etcd.log"));
    return static_cast<bool>(std::getline(file, line));
  }));
  (*member)->Stop();
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(line, "[]");
}

TEST(ManagedEtcd, AMissingProgramIsNamedWithThePackage) {
  const test::TempDir directory;
  ManagedEtcd::Options options = OptionsIn(directory);
  options.program = "no-such-etcd";
  const base::Status status = ManagedEtcd::Start(env::PosixEnv(), options).status();
  EXPECT_EQ(status.code(), base::Code::kNotFound);
  EXPECT_NE(status.message().find("no-such-etcd"), std::string::npos);
  EXPECT_NE(status.message().find("etcd-server"), std::string::npos);
}

TEST(RotatingFile, GoesOnInTheFileThatIsThere) {
  test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/d").ok());
  for (const char* text : {"one ", "two "}) {
    const auto file = RotatingFile::Open(env, "/d/f", 10);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append(text).ok());
  }
  EXPECT_EQ(env.Stat("/d/f")->size, 8u);
  const auto file = RotatingFile::Open(env, "/d/f", 10);
  ASSERT_TRUE((*file)->Append("three").ok());
  EXPECT_EQ(env.Stat("/d/f")->size, 5u);
  EXPECT_EQ(env.Stat("/d/f.1")->size, 8u);
}

}  // namespace
}  // namespace understudy::server
