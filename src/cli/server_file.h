// SPDX-License-Identifier: Apache-2.0
// A server's configuration file as `group init` and `server join` read and make it: what they need
// of one that is there, and a whole one where there is none.
//
// A file that a person wrote is never rewritten; what it lacks is added at its end.
// Threading: pure functions over Env. Errors: kInvalidArgument for a file that is not what
// docs/reference/config.md says, as far as it is read here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::cli {

struct ServerFile {
  std::string path;
  bool exists = false;
  bool has_coordinator = false;
  std::string name;
  std::string data_dir;
  std::string listen;
  std::string advertise;
  std::string tls_directory;  // default: .tls in data_dir
  std::string etcd_client;    // of a managed member
  std::string etcd_peer;
  std::optional<base::Duration> lifetime;

  // For the certificate.
  std::vector<std::string> Addresses() const { return {advertise, listen, etcd_client, etcd_peer}; }
};

// What a person typed; it must not contradict a file that is there.
struct ServerOptions {
  std::string config;
  std::string name;
  std::string data_dir;
  std::string listen;
  std::string etcd_client = "127.0.0.1:2379";
  std::string etcd_peer;  // default: the host of listen, port 2380
  std::string coordinator_path;
};

base::Result<ServerFile> ReadServerFile(env::Env& env, const ServerOptions& options);

// The section [coordinator] that is added or written.
struct CoordinatorText {
  std::string kind;
  std::string path;
  std::vector<std::string> endpoints;
  std::string group;
  std::string user;
  int64_t lease_ms = 0;
  std::map<std::string, std::string> members;  // of a managed cluster; empty: none is managed
  std::string etcd_client;
  std::string etcd_peer;
  bool join = false;  // the cluster exists
};
// Writes what the file lacks, or nothing.
base::Status CompleteServerFile(env::Env& env, const ServerFile& file,
                                const CoordinatorText& coordinator);

}  // namespace understudy::cli
