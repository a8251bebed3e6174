// SPDX-License-Identifier: Apache-2.0
#include "server/managed_etcd.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "server/rotating_file.h"

namespace understudy::server {
namespace {

// How often a member that prints nothing is looked at, for no reason but that every wait has a
// limit.
constexpr base::Duration kLook = std::chrono::seconds(10);
// Old revisions are of no use to a group beyond what a watch that was lost for a while asks for.
constexpr const char* kRevisionsKept = "10000";
// A member that was cut off or frozen would make the others elect anew when it is back, and they
// answer nobody meanwhile. etcd 3.5 does it by itself.
constexpr const char* kPreVote = "--pre-vote=true";

int64_t Milliseconds(base::Duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

}  // namespace

base::Result<std::unique_ptr<ManagedEtcd>> ManagedEtcd::Start(env::Env& env,
                                                              const Options& options) {
  base::Result<std::string> program = FindProgram(options.program);
  if (!program.ok()) {
    return base::NotFound(program.status().message() +
                          "\ncoordinator.etcd = \"managed\" needs it: install etcd (Debian's "
                          "package is etcd-server)");
  }
  RETURN_IF_ERROR(env.MakeDirectories(env::JoinPath(options.directory, "data")));
  ASSIGN_OR_RETURN(auto log, RotatingFile::Open(env, env::JoinPath(options.directory, "etcd.log"),
                                                options.log_bytes_max));
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) return base::IoError("cannot make an eventfd");
  std::unique_ptr<ManagedEtcd> member(
      new ManagedEtcd(env, options, std::move(program).value(), std::move(log), wake));
  member->thread_ = base::Thread([raw = member.get()] { raw->Run(); });
  return member;
}

ManagedEtcd::ManagedEtcd(env::Env& env, Options options, std::string program,
                         std::unique_ptr<RotatingFile> log, int wake)
    : env_(env),
      options_(std::move(options)),
      program_(std::move(program)),
      log_(std::move(log)),
      wake_(wake) {}

ManagedEtcd::~ManagedEtcd() {
  Stop();
  ::close(wake_);
}

void ManagedEtcd::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  ::eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.Join();
}

pid_t ManagedEtcd::pid() const {
  base::MutexLock lock(mutex_);
  return pid_;
}

void ManagedEtcd::SetPid(pid_t pid) {
  base::MutexLock lock(mutex_);
  pid_ = pid;
}

bool ManagedEtcd::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

std::vector<std::string> ManagedEtcd::Command() const {
  const std::string scheme = options_.identity_file.empty() ? "http://" : "https://";
  std::string cluster;
  for (const auto& [name, peer] : options_.initial_cluster) {
    cluster += fmt::format("{}{}={}{}", cluster.empty() ? "" : ",", name, scheme, peer);
  }
  const std::string client = scheme + options_.client_listen;
  std::vector<std::string> command = {
      program_,
      "--name=" + options_.name,
      "--data-dir=" + env::JoinPath(options_.directory, "data"),
      "--listen-client-urls=" + client,
      "--advertise-client-urls=" + client,
      "--listen-peer-urls=" + scheme + options_.peer_listen,
      "--initial-advertise-peer-urls=" + scheme + options_.initial_cluster.at(options_.name),
      "--initial-cluster=" + cluster,
      "--initial-cluster-token=" + options_.token,
      options_.join ? "--initial-cluster-state=existing" : "--initial-cluster-state=new",
      kPreVote,
      "--auto-compaction-mode=revision",
      fmt::format("--auto-compaction-retention={}", kRevisionsKept),
      "--logger=zap"};
  if (!options_.identity_file.empty()) {
    for (const char* const side : {"", "peer-"}) {
      command.push_back(fmt::format("--{}cert-file={}", side, options_.identity_file));
      command.push_back(fmt::format("--{}key-file={}", side, options_.identity_file));
      command.push_back(fmt::format("--{}trusted-ca-file={}", side, options_.ca_file));
      command.push_back(fmt::format("--{}client-cert-auth", side));
    }
    // A member is known by its certificate, not by the address that it calls from.
    command.emplace_back("--experimental-peer-skip-client-san-verification");
  }
  return command;
}

void ManagedEtcd::Run() {
  base::NameThisThread("etcd-member");
  while (!stopping()) {
    const base::SteadyTime begin = env_.Now();
    RunOnce();
    if (stopping()) return;
    if (env_.Now() - begin >= kRanWell) pause_ = kPauseMin;
    pollfd wait = {.fd = wake_, .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, static_cast<int>(Milliseconds(pause_)));
    pause_ = std::min(2 * pause_, kPauseMax);
  }
}

void ManagedEtcd::RunOnce() {
  base::Result<ChildProcess> child = ChildProcess::Start(Command());
  if (!child.ok()) {
    base::Diag(base::DiagLevel::kError, "etcd", "the managed etcd member cannot be started",
               {{"why", child.status().ToString()}, {"again_ms", Milliseconds(pause_)}});
    return;
  }
  SetPid(child->pid());
  base::Diag(base::DiagLevel::kInfo, "etcd", "started the managed etcd member",
             {{"name", options_.name},
              {"pid", child->pid()},
              {"client", options_.client_listen},
              {"output", log_->path()}});
  Follow(*child);
  SetPid(0);
  const std::string how = child->HowItEnded();
  if (stopping()) {
    base::Diag(base::DiagLevel::kInfo, "etcd", "stopped the managed etcd member", {{"how", how}});
  } else {
    base::Diag(base::DiagLevel::kError, "etcd", "the managed etcd member ended, starting it again",
               {{"how", how}, {"again_ms", Milliseconds(pause_)}, {"output", log_->path()}});
  }
}

// Until it has ended.
void ManagedEtcd::Follow(ChildProcess& child) {
  base::Status written;
  std::optional<base::SteadyTime> kill_at;
  while (true) {
    const base::Duration limit = kill_at ? *kill_at - env_.Now() : kLook;
    // Once stopping, the wake-up stays readable and would make this spin.
    const ChildProcess::Output output = child.Read(kill_at ? -1 : wake_, limit);
    if (written.ok() && !output.text.empty()) {
      written = log_->Append(output.text);
      if (!written.ok()) {
        base::Diag(base::DiagLevel::kWarning, "etcd", "what etcd prints is lost from here on",
                   {{"why", written.ToString()}});
      }
    }
    if (output.ended) return;
    if (output.woken && !kill_at) {
      kill_at = env_.Now() + options_.stop_limit;
      child.Signal(SIGTERM);
    } else if (kill_at && env_.Now() >= *kill_at) {
      base::Diag(base::DiagLevel::kWarning, "etcd", "the managed etcd member is killed",
                 {{"stop_limit_ms", Milliseconds(options_.stop_limit)}});
      child.Signal(SIGKILL);
      kill_at = env_.Now() + options_.stop_limit;
    }
  }
}

}  // namespace understudy::server
