// SPDX-License-Identifier: Apache-2.0
// CoordinatorConfig: the sections [coordinator] and [coordinator.managed] of the configuration,
// which docs/reference/config.md describes. Threading: values and pure functions.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace understudy::server {

struct CoordinatorConfig {
  static constexpr const char* kEmbedded = "embedded";
  static constexpr const char* kEtcd = "etcd";
  static constexpr size_t kEndpointsMax = 16;

  std::string kind = kEmbedded;
  base::Duration lease = std::chrono::seconds(6);

  std::string path;  // embedded: of the SQLite file that the group's daemons share

  std::vector<std::string> endpoints;  // etcd: "host:port"
  std::string group = "default";       // its keys begin with /understudy/GROUP/
  std::string user;
  std::string password_file;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;

  std::string etcd;  // "managed": this daemon runs the member below; empty: others run it
  struct Managed {
    std::string name;  // default: the server's
    std::string client_listen;
    std::string peer_listen;
    std::map<std::string, std::string> initial_cluster;  // member -> "host:port" of its peer side
    bool tls = false;   // its connections, with this server's certificate
    bool join = false;  // initial_cluster exists already, and has this member

    bool operator==(const Managed&) const = default;
  } managed;

  bool runs_member() const { return etcd == "managed"; }
  bool operator==(const CoordinatorConfig&) const = default;
};

// "host:port" as gRPC and etcd take it; kInvalidArgument says what is wrong.
base::Status CheckAddress(std::string_view address);

// What one key cannot show: which keys go together. Fills in the defaults that depend on others.
base::Status CheckCoordinator(CoordinatorConfig& config, const std::string& server_name);

}  // namespace understudy::server
