// SPDX-License-Identifier: Apache-2.0
#include "cli/lab_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace understudy::cli {
namespace {

constexpr int kLabVersion = 1;
constexpr uint64_t kLabFileBytesMax = 1 << 20;

Json ToJson(const ProcessId& process) {
  return Json{{"pid", process.pid}, {"start_time", process.start_time}};
}

ProcessId ProcessFromJson(const Json& value) {
  return {.pid = value.at("pid").get<int>(), .start_time = value.at("start_time").get<uint64_t>()};
}

template <typename Servers>
auto FindIn(Servers& servers, const std::string& name) -> base::Result<decltype(servers.data())> {
  std::vector<std::string> names;
  for (auto& server : servers) {
    if (server.name == name) return &server;
    names.push_back(server.name);
  }
  return base::NotFound(
      fmt::format("the lab has no server '{}'; it has {}", name, fmt::join(names, ", ")));
}

}  // namespace

base::Result<const LabServer*> LabState::Find(const std::string& name) const {
  return FindIn(servers, name);
}
base::Result<LabServer*> LabState::Find(const std::string& name) { return FindIn(servers, name); }

std::string LabState::ServerDirectory(const std::string& name) const {
  return env::JoinPath(directory, name);
}

Json ToJson(const LabState& state) {
  Json document;
  document["version"] = kLabVersion;
  document["directory"] = state.directory;
  document["daemon"] = state.daemon;
  document["etcd"] = state.etcd;
  document["lease_ms"] = state.lease_ms;
  document["tls"] = state.tls;
  document["certificate_ms"] = state.certificate_ms;
  document["forwarder"] = ToJson(state.forwarder);
  document["servers"] = Json::array();
  for (const LabServer& server : state.servers) {
    document["servers"].push_back(Json{{"name", server.name},
                                       {"address", server.address},
                                       {"web", server.web},
                                       {"process", ToJson(server.process)},
                                       {"etcd_client", server.etcd_client},
                                       {"etcd_peer", server.etcd_peer}});
  }
  document["links"] = Json::array();
  for (const LabLink& link : state.links) {
    document["links"].push_back(Json{{"from", link.from}, {"to", link.to}, {"port", link.port}});
  }
  return document;
}

base::Result<LabState> LabStateFromJson(const Json& document) {
  // The library throws on missing or mistyped members; this is the edge where that ends.
  try {
    if (document.at("version").get<int>() != kLabVersion) {
      return base::Corruption("the lab was made by another version of this command");
    }
    LabState state;
    state.directory = document.at("directory").get<std::string>();
    state.daemon = document.at("daemon").get<std::string>();
    state.lease_ms = document.value("lease_ms", int64_t{0});
    state.tls = document.value("tls", false);
    state.certificate_ms = document.value("certificate_ms", int64_t{0});
    state.etcd = document.value("etcd", false);  // absent: a lab of before there was a choice
    state.forwarder = ProcessFromJson(document.at("forwarder"));
    for (const Json& server : document.at("servers")) {
      state.servers.push_back({.name = server.at("name").get<std::string>(),
                               .address = server.at("address").get<std::string>(),
                               .web = server.value("web", ""),
                               .process = ProcessFromJson(server.at("process")),
                               .etcd_client = server.value("etcd_client", ""),
                               .etcd_peer = server.value("etcd_peer", "")});
    }
    for (const Json& link : document.at("links")) {
      state.links.push_back({.from = link.at("from").get<std::string>(),
                             .to = link.at("to").get<std::string>(),
                             .port = link.at("port").get<uint16_t>()});
    }
    if (state.servers.size() > kLabServersMax) {
      return base::Corruption(fmt::format("it lists more than {} servers", kLabServersMax));
    }
    return state;
  } catch (const Json::exception& error) {
    return base::Corruption(error.what());
  }
}

std::string LabStatePath(const std::string& directory) {
  return env::JoinPath(directory, "lab.json");
}

bool LabExists(env::Env& env, const std::string& directory) {
  return env::Exists(env, LabStatePath(directory));
}

base::Result<LabState> LoadLabState(env::Env& env, const std::string& directory) {
  const std::string path = LabStatePath(directory);
  if (!LabExists(env, directory)) {
    return base::NotFound(fmt::format(
        "there is no lab in {}\n'understudy lab up --dir {}' makes one", directory, directory));
  }
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kLabFileBytesMax));
  const Json document = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (document.is_discarded()) return base::Corruption(fmt::format("{} is not JSON", path));
  auto state = LabStateFromJson(document);
  if (!state.ok()) return state.status().WithContext(path);
  return state;
}

base::Status SaveLabState(env::Env& env, const LabState& state) {
  const std::string text = ToText(ToJson(state), 2) + "\n";
  return env::WriteFileAtomically(
      env, LabStatePath(state.directory),
      base::ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

base::Result<uint16_t> PortOf(const std::string& address) {
  const size_t colon = address.rfind(':');
  uint16_t port = 0;
  if (colon != std::string::npos) {
    const char* end = address.data() + address.size();
    const auto parsed = std::from_chars(address.data() + colon + 1, end, port);
    if (parsed.ec == std::errc() && parsed.ptr == end && port != 0) return port;
  }
  return base::InvalidArgument(fmt::format("'{}' is not HOST:PORT", address));
}

}  // namespace understudy::cli
