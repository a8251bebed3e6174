// SPDX-License-Identifier: Apache-2.0
// What a lab is: its servers, their processes and addresses, and the forwarder's ports. Kept in
// `<directory>/lab.json`, replaced whole at every change.
//
// A process is named by its id and the time it started, so that a recycled id is never mistaken for
// one of ours.
// Threading: values. Errors: kNotFound (no lab there, no such server), kCorruption (lab.json is not
// what SaveLabState writes).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/json.h"
#include "env/env.h"

namespace understudy::cli {

inline constexpr int kLabServersMax = 9;

struct ProcessId {
  int pid = 0;              // 0: none
  uint64_t start_time = 0;  // clock ticks after boot, from /proc

  bool operator==(const ProcessId&) const = default;
};

struct LabServer {
  std::string name;     // "s1"
  std::string address;  // "127.0.0.1:PORT", where it listens
  std::string web{};    // where its web server does; empty in a lab of an older version
  ProcessId process;
  std::string etcd_client = {};  // "127.0.0.1:PORT" of its etcd member; empty: it has none
  std::string etcd_peer = {};
};

// Bytes that `from` sends to, or asks from, `to` over connections that `from` opens to `port`.
struct LabLink {
  std::string from;
  std::string to;
  uint16_t port = 0;  // the forwarder's, on 127.0.0.1
};

struct LabState {
  std::string directory;  // absolute
  std::string daemon;     // path of understudyd
  bool etcd = false;      // the coordinator; else the embedded one
  int64_t lease_ms = 0;   // of the servers; 0: the daemon's default
  bool tls = false;
  int64_t certificate_ms = 0;  // lifetime of the servers' certificates; 0: the daemon's default
  ProcessId forwarder;
  std::vector<LabServer> servers;
  std::vector<LabLink> links;

  base::Result<const LabServer*> Find(const std::string& name) const;
  base::Result<LabServer*> Find(const std::string& name);
  std::string ServerDirectory(const std::string& name) const;
};

Json ToJson(const LabState& state);
base::Result<LabState> LabStateFromJson(const Json& document);

std::string LabStatePath(const std::string& directory);
bool LabExists(env::Env& env, const std::string& directory);
base::Result<LabState> LoadLabState(env::Env& env, const std::string& directory);
base::Status SaveLabState(env::Env& env, const LabState& state);

// "127.0.0.1:7001" -> 7001.
base::Result<uint16_t> PortOf(const std::string& address);

}  // namespace understudy::cli
