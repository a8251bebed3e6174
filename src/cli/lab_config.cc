// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <sstream>

#include <toml++/toml.h>

#include "cli/lab.h"

namespace understudy::cli {

namespace {

toml::table CoordinatorSection(const LabState& lab, const LabServer& server) {
  if (!lab.etcd) {
    return toml::table{
        {"kind", "embedded"},
        {"path", env::JoinPath(env::JoinPath(lab.directory, "group"), "cluster.db")}};
  }
  toml::array endpoints{server.etcd_client};  // its own first
  toml::table members;
  for (const LabServer& each : lab.servers) {
    members.insert(each.name, each.etcd_peer);
    if (each.name != server.name) endpoints.push_back(each.etcd_client);
  }
  return toml::table{{"kind", "etcd"},
                     {"etcd", "managed"},
                     {"endpoints", endpoints},
                     {"managed", toml::table{{"client_listen", server.etcd_client},
                                             {"peer_listen", server.etcd_peer},
                                             {"initial_cluster", members},
                                             {"tls", lab.tls}}}};
}

}  // namespace

std::string RenderServerConfig(const LabState& lab, const LabServer& server) {
  toml::table peers;
  for (const LabLink& link : lab.links) {
    if (link.from == server.name) peers.insert(link.to, fmt::format("127.0.0.1:{}", link.port));
  }
  toml::table coordinator = CoordinatorSection(lab, server);
  if (lab.lease_ms > 0) coordinator.insert("lease", fmt::format("{}ms", lab.lease_ms));
  toml::table config{
      {"server", toml::table{{"name", server.name},
                             {"data_dir", env::JoinPath(lab.ServerDirectory(server.name), "data")},
                             {"listen", server.address},
                             {"advertise", server.address}}},
      {"coordinator", coordinator},
      {"backup", toml::table{{"repository", env::JoinPath(lab.directory, "backups")}}},
      // Whoever heals a link wants to see it at once.
      {"ship", toml::table{{"retry_max", "1s"}}},
      {"peers", peers},
  };
  if (lab.tls) {
    toml::table section{{"join_listen", "127.0.0.1:0"}};
    if (lab.certificate_ms > 0) section.insert("lifetime", fmt::format("{}ms", lab.certificate_ms));
    config.insert("tls", section);
  } else {
    config.insert("tls", toml::table{{"off", true}});
  }
  if (!server.web.empty()) config.insert("web", toml::table{{"listen", server.web}});
  std::ostringstream text;
  text << "# Written by 'understudy lab' at every start of this server; changes here are lost.\n"
       << config << "\n";
  return text.str();
}

}  // namespace understudy::cli
