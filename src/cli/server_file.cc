// SPDX-License-Identifier: Apache-2.0
#include "cli/server_file.h"

#include <fmt/format.h>

#include <sstream>

#include <toml++/toml.h>

#include "base/ids.h"
#include "cli/human.h"
#include "tls/certificate_authority.h"
#include "tls/tls_directory.h"

namespace understudy::cli {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;
constexpr const char* kDataDirDefault = "/var/lib/understudy";
constexpr int kEtcdPeerPort = 2380;

std::string Text(const toml::table& document, const char* section, const char* key) {
  return document[section][key].value_or(std::string());
}

// The typed value where the file has none; both must agree.
base::Status Settle(const char* option, const std::string& typed, std::string& value) {
  if (value.empty()) value = typed;
  if (typed.empty() || typed == value) return {};
  return base::InvalidArgument(
      fmt::format("{} is {}, but the configuration says {}", option, typed, value));
}

base::Status ReadExisting(env::Env& env, ServerFile& file) {
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, file.path, kFileBytesMax));
  toml::table document;
  try {
    document = toml::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.path);
  } catch (const toml::parse_error& error) {
    return base::InvalidArgument(
        fmt::format("{}:{}: {}", file.path, error.source().begin.line, error.description()));
  }
  file.has_coordinator = document.contains("coordinator");
  file.name = Text(document, "server", "name");
  file.data_dir = Text(document, "server", "data_dir");
  file.listen = Text(document, "server", "listen");
  file.advertise = Text(document, "server", "advertise");
  file.tls_directory = Text(document, "tls", "directory");
  const toml::node_view managed = document["coordinator"]["managed"];
  const std::string member = managed["name"].value_or(file.name);
  file.etcd_client = managed["client_listen"].value_or(std::string());
  file.etcd_peer = managed["initial_cluster"][member].value_or(std::string());
  if (const std::string lifetime = Text(document, "tls", "lifetime"); !lifetime.empty()) {
    ASSIGN_OR_RETURN(file.lifetime, ParseDuration(lifetime));
  }
  return {};
}

toml::table CoordinatorTable(const CoordinatorText& from) {
  toml::table to{{"kind", from.kind}};
  if (from.lease_ms > 0) to.insert("lease", fmt::format("{}ms", from.lease_ms));
  if (from.kind == "embedded") {
    to.insert("path", from.path);
    return to;
  }
  to.insert("group", from.group);
  if (!from.user.empty()) to.insert("user", from.user);
  if (from.members.empty()) {
    toml::array endpoints;
    for (const std::string& endpoint : from.endpoints) endpoints.push_back(endpoint);
    to.insert("endpoints", endpoints);
    return to;
  }
  toml::table members;
  for (const auto& [name, peer] : from.members) members.insert(name, peer);
  to.insert("etcd", "managed");
  to.insert("managed", toml::table{{"client_listen", from.etcd_client},
                                   {"peer_listen", from.etcd_peer},
                                   {"initial_cluster", members},
                                   {"tls", true},
                                   {"join", from.join}});
  return to;
}

}  // namespace

base::Result<ServerFile> ReadServerFile(env::Env& env, const ServerOptions& options) {
  ServerFile file;
  file.path = options.config;
  file.exists = env::Exists(env, file.path);
  if (file.exists) RETURN_IF_ERROR(ReadExisting(env, file).WithContext("configuration"));
  RETURN_IF_ERROR(Settle("--server-name", options.name, file.name));
  RETURN_IF_ERROR(Settle("--data-dir", options.data_dir, file.data_dir));
  RETURN_IF_ERROR(Settle("--listen", options.listen, file.listen));
  if (file.data_dir.empty() && !file.exists) file.data_dir = kDataDirDefault;
  const std::pair<const char*, const std::string*> needed[] = {
      {"--server-name", &file.name}, {"--data-dir", &file.data_dir}, {"--listen", &file.listen}};
  for (const auto& [option, value] : needed) {
    if (!value->empty()) continue;
    return base::InvalidArgument(fmt::format("{} is needed: {} {}", option, file.path,
                                             file.exists ? "does not say it" : "is not there yet"));
  }
  RETURN_IF_ERROR(base::CheckName("server name", file.name));
  if (file.advertise.empty()) file.advertise = file.listen;
  if (file.tls_directory.empty()) {
    file.tls_directory = tls::TlsDirectory::Below(file.data_dir).path;
  }
  if (file.etcd_peer.empty() && !file.has_coordinator && options.coordinator_path.empty()) {
    const std::string host = file.advertise.substr(0, file.advertise.rfind(':'));
    file.etcd_peer =
        options.etcd_peer.empty() ? fmt::format("{}:{}", host, kEtcdPeerPort) : options.etcd_peer;
    file.etcd_client = options.etcd_client;
  }
  return file;
}

base::Status CompleteServerFile(env::Env& env, const ServerFile& file,
                                const CoordinatorText& coordinator) {
  if (file.exists && file.has_coordinator) return {};
  std::ostringstream text;
  if (file.exists) {
    ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, file.path, kFileBytesMax));
    text << std::string(bytes.begin(), bytes.end()) << "\n";
  } else {
    text << "# docs/reference/config.md describes every key.\n"
         << toml::table{{"server", toml::table{{"name", file.name},
                                               {"data_dir", file.data_dir},
                                               {"listen", file.listen}}}}
         << "\n\n";
  }
  text << toml::table{{"coordinator", CoordinatorTable(coordinator)}} << "\n";
  const std::string content = text.str();
  RETURN_IF_ERROR(env.MakeDirectories(env::DirectoryOf(file.path)));
  return env::WriteFileAtomically(env, file.path, base::AsBytes(content));
}

}  // namespace understudy::cli
