// SPDX-License-Identifier: Apache-2.0
// A lab: a group of real understudyd processes on this machine, for trying things out. Every byte
// between two of them passes the lab's forwarder (forwarder.h).
//
//   <directory>/lab.json              what runs (lab_state.h)
//   <directory>/lab.lock              held while a lab command changes something
//   <directory>/forwarder.sock        the forwarder's control socket
//   <directory>/forwarder.txt         what it printed
//   <directory>/group/                the embedded coordinator, shared by the servers; or
//   <directory>/etcd.json             where the servers' etcd members listen (lab_etcd.h)
//   <directory>/identity.pem          for commands, in a lab with TLS (lab_tls.h)
//   <directory>/backups/              the repository the servers are configured with
//   <directory>/sN/understudyd.toml   a server's configuration; sN/output.txt: what it printed
//   <directory>/sN/data/              its data directory
//
// Threading: confined to the main thread. Nothing here ends a process that this lab did not start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/lab_state.h"
#include "env/env.h"

namespace understudy::cli {

struct LabUpOptions {
  std::string directory;
  int servers = 3;
  std::optional<bool> etcd;  // the coordinator; nothing: what the directory's files are for
  std::optional<base::Duration> lease = {};  // of the servers
  std::optional<bool> tls = {};              // nothing: what the directory's files are for
  std::optional<base::Duration> certificate_lifetime = {};
  std::string daemon;   // path of understudyd
  std::string command;  // path of understudy, which is also the forwarder
  base::Duration ready_limit = std::chrono::seconds(20);
};

class Lab {
 public:
  // Starts everything, or leaves nothing running. kAlreadyExists when a lab is running there.
  static base::Result<Lab> Up(env::Env& env, const LabUpOptions& options);
  // The lab that is there. Holds its lock until destroyed.
  static base::Result<Lab> Open(env::Env& env, const std::string& directory);

  const LabState& state() const { return state_; }

  base::Status Start(const std::string& server, base::Duration ready_limit);
  base::Status Stop(const std::string& server);  // SIGTERM, and waits
  // SIGKILL, SIGSTOP and SIGCONT; its etcd member shares its fate.
  base::Status Kill(const std::string& server);
  base::Status Pause(const std::string& server);
  base::Status Resume(const std::string& server);

  // Ends the servers and the forwarder; the directory's other files stay, so that a later Up goes
  // on with the same data.
  base::Status Down();

 private:
  Lab(env::Env& env, std::unique_ptr<env::FileLock> lock, LabState state)
      : env_(env), lock_(std::move(lock)), state_(std::move(state)) {}

  base::Status Prepare(const LabUpOptions& options);
  base::Status PrepareCoordinator(const LabUpOptions& options);
  base::Status PrepareTlsOf(const LabUpOptions& options);
  base::Status StartForwarder(const LabUpOptions& options);
  base::Status StartServers(const std::vector<std::string>& names, base::Duration ready_limit);
  base::Status WriteConfig(const LabServer& server) const;
  base::Result<LabServer*> Running(const std::string& server);
  base::Status End(ProcessId& process, const std::string& what);
  std::string OutputPath(const std::string& server) const;

  env::Env& env_;
  std::unique_ptr<env::FileLock> lock_;
  LabState state_;
};

// The TOML that `server` of `lab` is started with.
std::string RenderServerConfig(const LabState& lab, const LabServer& server);

}  // namespace understudy::cli
