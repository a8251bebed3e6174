// SPDX-License-Identifier: Apache-2.0
#include "cli/lab.h"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>

#include "cli/forwarder_control.h"
#include "cli/lab_etcd.h"
#include "cli/lab_process.h"
#include "cli/lab_tls.h"

namespace understudy::cli {
namespace {

constexpr std::chrono::seconds kForwarderReadyLimit{5};
constexpr std::chrono::seconds kStopLimit{15};
constexpr size_t kTailBytesMax = 600;

base::Status Locked(const base::Status& status, const std::string& directory) {
  if (status.code() != base::Code::kBusy) return status;
  return base::Busy(fmt::format("another lab command is at work in {}", directory));
}

// "…\nhint" with the end of what the process printed, because that says why.
base::Status WithOutput(const base::Status& status, const std::string& output_path) {
  std::string tail = TailOf(output_path, kTailBytesMax);
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  const size_t line = tail.rfind('\n');
  const std::string last = line == std::string::npos ? tail : tail.substr(line + 1);
  return base::Status(status.code(),
                      fmt::format("{}{}{}\neverything it printed is in {}", status.message(),
                                  last.empty() ? "" : "; its last line: ", last, output_path));
}

// A paused process must run to do anything, and so must what it started. Gone is fine.
void Continue(const ProcessId& process) {
  for (const ProcessId& member : ChildrenOf(process)) Signal(member, SIGCONT).IgnoreError();
  Signal(process, SIGCONT).IgnoreError();
}

bool AnyRunning(const LabState& state) {
  bool running = StateOf(state.forwarder) != ProcessState::kGone;
  for (const LabServer& server : state.servers) {
    running = running || StateOf(server.process) != ProcessState::kGone;
  }
  return running;
}

}  // namespace

base::Result<Lab> Lab::Up(env::Env& env, const LabUpOptions& options) {
  const std::string directory =
      std::filesystem::absolute(options.directory).lexically_normal().string();
  if (!env::Exists(env, options.daemon)) {
    return base::NotFound(
        fmt::format("there is no {}\n--daemon PATH says where understudyd is", options.daemon));
  }
  RETURN_IF_ERROR(env.MakeDirectories(directory));
  auto lock = env.Lock(env::JoinPath(directory, "lab.lock"));
  if (!lock.ok()) return Locked(lock.status(), directory);
  if (LabExists(env, directory)) {
    ASSIGN_OR_RETURN(const LabState old, LoadLabState(env, directory));
    if (AnyRunning(old)) {
      return base::AlreadyExists(fmt::format(
          "a lab is running in {}\n'understudy lab down --dir {}' ends it", directory, directory));
    }
  }
  Lab lab(env, std::move(lock).value(), LabState{});
  lab.state_.directory = directory;
  lab.state_.daemon = options.daemon;
  base::Status status = lab.Prepare(options);
  if (status.ok()) status = lab.StartForwarder(options);
  std::vector<std::string> names;
  for (const LabServer& server : lab.state_.servers) names.push_back(server.name);
  if (status.ok()) status = lab.StartServers(names, options.ready_limit);
  if (!status.ok()) {
    lab.Down().IgnoreError();  // the first failure is the one that matters
    return status;
  }
  return lab;
}

base::Result<Lab> Lab::Open(env::Env& env, const std::string& directory) {
  const std::string path = std::filesystem::absolute(directory).lexically_normal().string();
  RETURN_IF_ERROR(LoadLabState(env, path).status());  // before a lock file is made anywhere
  auto lock = env.Lock(env::JoinPath(path, "lab.lock"));
  if (!lock.ok()) return Locked(lock.status(), path);
  ASSIGN_OR_RETURN(LabState state, LoadLabState(env, path));
  return Lab(env, std::move(lock).value(), std::move(state));
}

base::Status Lab::Prepare(const LabUpOptions& options) {
  const auto count = static_cast<size_t>(options.servers);
  ASSIGN_OR_RETURN(const auto ports, FreePorts(2 * count));
  for (size_t i = 0; i < count; ++i) {
    LabServer& server = state_.servers.emplace_back();
    server.name = fmt::format("s{}", i + 1);
    server.address = fmt::format("127.0.0.1:{}", ports[i]);
    server.web = fmt::format("127.0.0.1:{}", ports[count + i]);
    RETURN_IF_ERROR(
        env_.MakeDirectories(env::JoinPath(state_.ServerDirectory(server.name), "data")));
  }
  RETURN_IF_ERROR(PrepareTlsOf(options));
  RETURN_IF_ERROR(PrepareCoordinator(options));
  return SaveLabState(env_, state_);
}

base::Status Lab::PrepareTlsOf(const LabUpOptions& options) {
  const bool had = LabHasTls(env_, state_.directory);
  state_.tls = options.tls.value_or(had);
  if (options.certificate_lifetime) {
    state_.certificate_ms = *options.certificate_lifetime / std::chrono::milliseconds(1);
  }
  if (had && !state_.tls) {
    return base::InvalidArgument(
        fmt::format("the lab in {} was made with TLS\nuse another --dir", state_.directory));
  }
  return state_.tls ? PrepareTls(env_, state_) : base::Status();
}

base::Status Lab::PrepareCoordinator(const LabUpOptions& options) {
  const std::string group = env::JoinPath(state_.directory, "group");
  const bool had_etcd = LabHasEtcd(env_, state_.directory);
  const bool had_file = env::Exists(env_, group);
  state_.etcd = options.etcd.value_or(had_etcd);
  if (options.lease) state_.lease_ms = *options.lease / std::chrono::milliseconds(1);
  if ((had_etcd && !state_.etcd) || (had_file && state_.etcd)) {
    return base::InvalidArgument(
        fmt::format("the lab in {} was made with the coordinator {}, whose state would be lost\n"
                    "use another --dir",
                    state_.directory, had_etcd ? "etcd" : "embedded"));
  }
  return state_.etcd ? AssignMembers(env_, state_) : env_.MakeDirectories(group);
}

base::Status Lab::StartForwarder(const LabUpOptions& options) {
  ASSIGN_OR_RETURN(ReadySocket ready, ReadySocket::Create());
  const std::string output = env::JoinPath(state_.directory, "forwarder.txt");
  ASSIGN_OR_RETURN(state_.forwarder,
                   Spawn({.command = {options.command, "lab-forwarder", "--dir", state_.directory},
                          .environment = {{"NOTIFY_SOCKET", ready.address()}},
                          .output_path = output}));
  RETURN_IF_ERROR(SaveLabState(env_, state_));
  const base::Status status = ready.Wait(state_.forwarder, kForwarderReadyLimit);
  if (!status.ok()) return WithOutput(status.WithContext("the lab's forwarder"), output);
  ASSIGN_OR_RETURN(const std::string answer, AskForwarder(state_.directory, "status"));
  const Json links = Json::parse(answer, nullptr, false);
  if (!links.is_array()) return base::Internal("the forwarder's answer is not a list");
  state_.links.clear();
  for (const Json& link : links) {
    state_.links.push_back({.from = link.value("from", ""),
                            .to = link.value("to", ""),
                            .port = link.value("port", uint16_t{0})});
  }
  return SaveLabState(env_, state_);
}

base::Status Lab::StartServers(const std::vector<std::string>& names, base::Duration ready_limit) {
  std::vector<ReadySocket> ready;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(LabServer * server, state_.Find(name));
    RETURN_IF_ERROR(WriteConfig(*server));
    ASSIGN_OR_RETURN(ReadySocket socket, ReadySocket::Create());
    ready.push_back(std::move(socket));
    const std::string config = env::JoinPath(state_.ServerDirectory(name), "understudyd.toml");
    ASSIGN_OR_RETURN(server->process,
                     Spawn({.command = {state_.daemon, "--config", config},
                            .environment = {{"NOTIFY_SOCKET", ready.back().address()}},
                            .output_path = OutputPath(name)}));
    RETURN_IF_ERROR(SaveLabState(env_, state_));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    ASSIGN_OR_RETURN(const LabServer* server, state_.Find(names[i]));
    const base::Status status = ready[i].Wait(server->process, ready_limit);
    if (!status.ok()) {
      return WithOutput(status.WithContext(fmt::format("server {}", names[i])),
                        OutputPath(names[i]));
    }
  }
  return {};
}

base::Status Lab::WriteConfig(const LabServer& server) const {
  const std::string text = RenderServerConfig(state_, server);
  return env::WriteFileAtomically(
      env_, env::JoinPath(state_.ServerDirectory(server.name), "understudyd.toml"),
      base::ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

std::string Lab::OutputPath(const std::string& server) const {
  return env::JoinPath(state_.ServerDirectory(server), "output.txt");
}

base::Status Lab::Start(const std::string& name, base::Duration ready_limit) {
  ASSIGN_OR_RETURN(LabServer * server, state_.Find(name));
  if (StateOf(server->process) != ProcessState::kGone) {
    return base::AlreadyExists(fmt::format("server {} is running already", name));
  }
  const base::Status status = StartServers({name}, ready_limit);
  if (!status.ok()) {
    End(server->process, name).IgnoreError();  // the failure to start is the one to report
    SaveLabState(env_, state_).IgnoreError();
  }
  return status;
}

base::Result<LabServer*> Lab::Running(const std::string& name) {
  ASSIGN_OR_RETURN(LabServer * server, state_.Find(name));
  if (StateOf(server->process) == ProcessState::kGone) {
    return base::NotFound(
        fmt::format("server {} is not running\n'understudy lab start {}' starts it", name, name));
  }
  return server;
}

base::Status Lab::Stop(const std::string& name) {
  ASSIGN_OR_RETURN(LabServer * server, Running(name));
  RETURN_IF_ERROR(Signal(server->process, SIGTERM));
  Continue(server->process);
  const base::Status status = WaitGone(server->process, kStopLimit);
  if (!status.ok()) {
    return WithOutput(status.WithContext(fmt::format("server {}", name)), OutputPath(name));
  }
  server->process = ProcessId{};
  return SaveLabState(env_, state_);
}

base::Status Lab::Kill(const std::string& name) {
  ASSIGN_OR_RETURN(LabServer * server, Running(name));
  const std::vector<ProcessId> members = ChildrenOf(server->process);
  RETURN_IF_ERROR(Signal(server->process, SIGKILL));
  RETURN_IF_ERROR(WaitGone(server->process, kStopLimit));
  for (const ProcessId& member : members) {
    Signal(member, SIGKILL).IgnoreError();  // it dies with its daemon anyway
    RETURN_IF_ERROR(WaitGone(member, kStopLimit));
  }
  server->process = ProcessId{};
  return SaveLabState(env_, state_);
}

base::Status Lab::Pause(const std::string& name) {
  ASSIGN_OR_RETURN(const LabServer* server, Running(name));
  RETURN_IF_ERROR(Signal(server->process, SIGSTOP));  // first: it would start a new member
  for (const ProcessId& member : ChildrenOf(server->process)) {
    RETURN_IF_ERROR(Signal(member, SIGSTOP));
  }
  return {};
}

base::Status Lab::Resume(const std::string& name) {
  ASSIGN_OR_RETURN(const LabServer* server, Running(name));
  Continue(server->process);
  return {};
}

// Politely first; what does not end in time is ended by force, so that Down always leaves nothing.
base::Status Lab::End(ProcessId& process, const std::string& what) {
  if (StateOf(process) != ProcessState::kGone) {
    Signal(process, SIGTERM).IgnoreError();  // gone in between is what we want
    Continue(process);
    if (!WaitGone(process, kStopLimit).ok()) {
      Signal(process, SIGKILL).IgnoreError();
      RETURN_IF_ERROR(WaitGone(process, kStopLimit).WithContext(what));
    }
  }
  process = ProcessId{};
  return {};
}

base::Status Lab::Down() {
  base::Status first;
  // All at once, then one after the other: they end while we wait for the first.
  for (const LabServer& server : state_.servers) {
    if (StateOf(server.process) != ProcessState::kGone) {
      Signal(server.process, SIGTERM).IgnoreError();
      Continue(server.process);
    }
  }
  for (LabServer& server : state_.servers) {
    const base::Status status = End(server.process, server.name);
    if (first.ok()) first = status;
  }
  const base::Status status = End(state_.forwarder, "forwarder");
  if (first.ok()) first = status;
  if (!first.ok()) return first;
  const base::Status removed = env_.Remove(env::JoinPath(state_.directory, "forwarder.sock"));
  if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
  const base::Status forgotten = env_.Remove(LabStatePath(state_.directory));
  return forgotten.code() == base::Code::kNotFound ? base::Status() : forgotten;
}

}  // namespace understudy::cli
