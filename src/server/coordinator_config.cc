// SPDX-License-Identifier: Apache-2.0
#include "server/coordinator_config.h"

#include <fmt/format.h>

#include <charconv>
#include <initializer_list>
#include <utility>

#include "base/ids.h"

namespace understudy::server {
namespace {

using base::InvalidArgument;
using base::Status;

constexpr const char* kClientListenDefault = "127.0.0.1:2379";
constexpr const char* kPeerListenDefault = "127.0.0.1:2380";

struct Key {
  const char* name;
  bool is_set;
};

Status RefuseAny(std::initializer_list<Key> keys, std::string_view why) {
  for (const Key& key : keys) {
    if (key.is_set) return InvalidArgument(fmt::format("coordinator.{} is {}", key.name, why));
  }
  return {};
}

Status CheckManaged(CoordinatorConfig& config, const std::string& server_name) {
  CoordinatorConfig::Managed& managed = config.managed;
  RETURN_IF_ERROR(RefuseAny({{"ca_file", !config.ca_file.empty()}},
                            "for an etcd that you run yourself: a managed one has no TLS"));
  if (managed.name.empty()) managed.name = server_name;
  RETURN_IF_ERROR(base::CheckName("coordinator.managed.name", managed.name));
  if (managed.client_listen.empty()) managed.client_listen = kClientListenDefault;
  if (managed.peer_listen.empty()) managed.peer_listen = kPeerListenDefault;
  if (managed.initial_cluster.empty()) managed.initial_cluster[managed.name] = managed.peer_listen;
  if (managed.initial_cluster.count(managed.name) == 0) {
    return InvalidArgument(
        fmt::format("coordinator.managed.initial_cluster has no {}, which is this member's name",
                    managed.name));
  }
  if (config.endpoints.empty()) config.endpoints = {managed.client_listen};
  return {};
}

Status CheckEtcd(CoordinatorConfig& config, const std::string& server_name) {
  RETURN_IF_ERROR(RefuseAny({{"path", !config.path.empty()}}, "for kind = \"embedded\" only"));
  RETURN_IF_ERROR(base::CheckName("coordinator.group", config.group));
  if (config.user.empty() != config.password_file.empty()) {
    return InvalidArgument("coordinator.user and coordinator.password_file go together");
  }
  if (config.cert_file.empty() != config.key_file.empty()) {
    return InvalidArgument("coordinator.cert_file and coordinator.key_file go together");
  }
  if (!config.cert_file.empty() && config.ca_file.empty()) {
    return InvalidArgument(
        "coordinator.cert_file needs coordinator.ca_file, without which there "
        "is no TLS");
  }
  if (config.runs_member()) return CheckManaged(config, server_name);
  if (!config.etcd.empty()) {
    return InvalidArgument(fmt::format(
        "coordinator.etcd is \"{}\", allowed is \"managed\", or leave it out", config.etcd));
  }
  if (!(config.managed == CoordinatorConfig::Managed())) {
    return InvalidArgument("[coordinator.managed] is for etcd = \"managed\" only");
  }
  if (config.endpoints.empty()) {
    return InvalidArgument("coordinator.endpoints must be set, such as [\"127.0.0.1:2379\"]");
  }
  return {};
}

}  // namespace

Status CheckAddress(std::string_view address) {
  if (address.find("://") != std::string_view::npos) {
    return InvalidArgument(
        fmt::format("\"{}\" must be host:port, without what is before \"//\"", address));
  }
  const size_t colon = address.rfind(':');
  uint16_t port = 0;
  if (colon != std::string_view::npos && colon > 0) {
    const char* const end = address.data() + address.size();
    const auto [parsed, error] = std::from_chars(address.data() + colon + 1, end, port);
    if (error == std::errc() && parsed == end && port != 0) return {};
  }
  return InvalidArgument(fmt::format("\"{}\" is not host:port", address));
}

Status CheckCoordinator(CoordinatorConfig& config, const std::string& server_name) {
  if (config.kind == CoordinatorConfig::kEtcd) return CheckEtcd(config, server_name);
  if (config.kind != CoordinatorConfig::kEmbedded) {
    return InvalidArgument(fmt::format(
        "coordinator.kind is \"{}\", this version has \"embedded\" and \"etcd\"", config.kind));
  }
  if (config.path.empty()) return InvalidArgument("coordinator.path must be set");
  return RefuseAny({{"endpoints", !config.endpoints.empty()},
                    {"user", !config.user.empty()},
                    {"password_file", !config.password_file.empty()},
                    {"ca_file", !config.ca_file.empty()},
                    {"cert_file", !config.cert_file.empty()},
                    {"key_file", !config.key_file.empty()},
                    {"etcd", !config.etcd.empty()},
                    {"managed", !(config.managed == CoordinatorConfig::Managed())}},
                   "for kind = \"etcd\" only");
}

}  // namespace understudy::server
