// SPDX-License-Identifier: Apache-2.0
#include "server/coordinator_factory.h"

#include <fmt/format.h>

#include <utility>

#include "cluster/embedded_coordinator.h"
#include "etcd/etcd_coordinator.h"

namespace understudy::server {
namespace {

constexpr uint64_t kPemBytesMax = 1 << 20;
constexpr uint64_t kPasswordBytesMax = 4096;

// Nothing when no file is named.
base::Result<std::string> ReadText(env::Env& env, const char* key, const std::string& path,
                                   uint64_t bytes_max) {
  if (path.empty()) return std::string();
  const base::Result<base::Bytes> bytes = env::ReadFile(env, path, bytes_max);
  if (!bytes.ok()) return bytes.status().WithContext(key);
  std::string text(bytes->begin(), bytes->end());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) return base::InvalidArgument(fmt::format("{}: {} is empty", key, path));
  return text;
}

base::Result<etcd::EtcdOptions> EtcdOptionsOf(env::Env& env, const CoordinatorConfig& config,
                                              const GroupTls* tls) {
  etcd::EtcdOptions options;
  options.endpoints = config.endpoints;
  options.group = config.group;
  options.user = config.user;
  ASSIGN_OR_RETURN(options.password, ReadText(env, "coordinator.password_file",
                                              config.password_file, kPasswordBytesMax));
  ASSIGN_OR_RETURN(options.ca, ReadText(env, "coordinator.ca_file", config.ca_file, kPemBytesMax));
  ASSIGN_OR_RETURN(options.certificate,
                   ReadText(env, "coordinator.cert_file", config.cert_file, kPemBytesMax));
  ASSIGN_OR_RETURN(options.key,
                   ReadText(env, "coordinator.key_file", config.key_file, kPemBytesMax));
  if (config.runs_member() && config.managed.tls && tls != nullptr) {
    options.identity_file = tls->directory().identity();
    options.ca_file = tls->directory().ca();
  }
  return options;
}

}  // namespace

base::Result<std::unique_ptr<cluster::Coordinator>> OpenCoordinator(env::Env& env,
                                                                    const CoordinatorConfig& config,
                                                                    const GroupTls* tls) {
  if (config.kind == CoordinatorConfig::kEtcd) {
    ASSIGN_OR_RETURN(etcd::EtcdOptions options, EtcdOptionsOf(env, config, tls));
    ASSIGN_OR_RETURN(auto coordinator, etcd::EtcdCoordinator::Open(std::move(options)));
    return std::unique_ptr<cluster::Coordinator>(std::move(coordinator));
  }
  ASSIGN_OR_RETURN(auto coordinator, cluster::EmbeddedCoordinator::Open(env, config.path));
  return std::unique_ptr<cluster::Coordinator>(std::move(coordinator));
}

base::Result<std::unique_ptr<etcd::EtcdMembers>> OpenEtcdMembers(env::Env& env,
                                                                 const CoordinatorConfig& config,
                                                                 const GroupTls* tls) {
  if (!config.runs_member()) return std::unique_ptr<etcd::EtcdMembers>();
  ASSIGN_OR_RETURN(etcd::EtcdOptions options, EtcdOptionsOf(env, config, tls));
  return std::make_unique<etcd::EtcdMembers>(std::move(options));
}

}  // namespace understudy::server
