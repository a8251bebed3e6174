// SPDX-License-Identifier: Apache-2.0
#include "testing/etcd_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace understudy::test {
namespace {

constexpr int kStartsMax = 3;
constexpr int kPollMs = 20;
constexpr size_t kOutputBytesMax = 4000;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return name;
}

// Held open until all are known, so that none comes twice.
std::vector<uint16_t> FreePorts(size_t count) {
  std::vector<int> sockets;
  std::vector<uint16_t> ports;
  for (size_t i = 0; i < count; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name = Loopback(0);
    socklen_t length = sizeof(name);
    CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0);
    CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) == 0);
    ports.push_back(ntohs(name.sin_port));
    sockets.push_back(fd);
  }
  for (const int fd : sockets) ::close(fd);
  return ports;
}

bool Listens(const std::string& address) {
  const auto port = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in name = Loopback(port);
  const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
  ::close(fd);
  return connected;
}

// True when the process ended within the time.
bool EndsWithin(pid_t pid, int milliseconds) {
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  CHECK(fd >= 0);
  pollfd wait = {.fd = fd, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&wait, 1, milliseconds);
  ::close(fd);
  return ready > 0;
}

pid_t Spawn(std::vector<std::string> command, const std::string& output) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  CHECK(out >= 0);
  const pid_t pid = ::fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execvp(arguments[0], arguments.data());
    std::perror("tests need etcd (tools/install-deps)");
    ::_exit(127);
  }
  ::close(out);
  return pid;
}

}  // namespace

EtcdCluster::EtcdCluster(Options options) : options_(std::move(options)) {
  for (int attempt = 1;; ++attempt) {
    ChoosePorts();
    bool started = true;
    for (Member& member : members_) started = started && TryStart(member);
    if (started) return;
    for (Member& member : members_) std::fputs(OutputOf(member).c_str(), stderr);
    CHECK(attempt < kStartsMax);
    for (size_t i = 0; i < members_.size(); ++i) Kill(i);
  }
}

EtcdCluster::~EtcdCluster() {
  for (size_t i = 0; i < members_.size(); ++i) Kill(i);
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> all;
  for (const Member& member : members_) all.push_back(member.client);
  return all;
}

void EtcdCluster::ChoosePorts() {
  const std::vector<uint16_t> ports = FreePorts(2 * static_cast<size_t>(options_.members));
  members_.clear();
  for (size_t i = 0; i < ports.size(); i += 2) {
    Member member;
    member.name = fmt::format("m{}-{}", i / 2, ports[i]);  // a new name has a new data directory
    member.client = fmt::format("127.0.0.1:{}", ports[i]);
    member.peer = fmt::format("127.0.0.1:{}", ports[i + 1]);
    members_.push_back(std::move(member));
  }
}

bool EtcdCluster::TryStart(Member& member) {
  member.pid = Spawn(Command(member), directory_.File(member.name + ".txt"));
  const auto end = std::chrono::steady_clock::now() + kListenLimit;
  // All members have to be started before one of them serves clients.
  const std::string& listens = members_.size() == 1 ? member.client : member.peer;
  while (!Listens(listens)) {
    if (EndsWithin(member.pid, kPollMs)) return false;
    CHECK(std::chrono::steady_clock::now() < end);
  }
  return !EndsWithin(member.pid, 0);
}

std::vector<std::string> EtcdCluster::Command(const Member& member) const {
  std::string all;
  for (const Member& each : members_) {
    all += fmt::format("{}{}=http://{}", all.empty() ? "" : ",", each.name, each.peer);
  }
  const std::string client = fmt::format("{}://{}", options_.client_scheme, member.client);
  const std::string peer = fmt::format("http://{}", member.peer);
  std::vector<std::string> command = {"etcd",
                                      "--name",
                                      member.name,
                                      "--data-dir",
                                      directory_.File(member.name),
                                      "--listen-client-urls",
                                      client,
                                      "--advertise-client-urls",
                                      client,
                                      "--listen-peer-urls",
                                      peer,
                                      "--initial-advertise-peer-urls",
                                      peer,
                                      "--initial-cluster",
                                      all,
                                      "--logger",
                                      "zap"};
  command.insert(command.end(), options_.arguments.begin(), options_.arguments.end());
  return command;
}

std::string EtcdCluster::OutputOf(const Member& member) const {
  std::ifstream file(directory_.File(member.name + ".txt"));
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text.size() > kOutputBytesMax) text.erase(0, text.size() - kOutputBytesMax);
  return fmt::format("--- {} ---\n{}\n", member.name, text);
}

void EtcdCluster::Kill(size_t member) {
  pid_t& pid = members_[member].pid;
  if (pid == 0) return;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  pid = 0;
}

void EtcdCluster::Signal(size_t member, int signal) {
  CHECK(members_[member].pid > 0);
  CHECK(::kill(members_[member].pid, signal) == 0);
}

void EtcdCluster::Start(size_t member) {
  CHECK(members_[member].pid == 0);
  if (TryStart(members_[member])) return;
  std::fputs(OutputOf(members_[member]).c_str(), stderr);
  CHECK(false);
}

}  // namespace understudy::test
