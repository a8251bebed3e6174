// SPDX-License-Identifier: Apache-2.0
#include "cli/lab_etcd.h"

#include <fmt/format.h>

#include "cli/lab_process.h"

namespace understudy::cli {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 16;

std::string FilePath(const std::string& directory) { return env::JoinPath(directory, "etcd.json"); }

base::Status ReadMembers(env::Env& env, LabState& state) {
  const std::string path = FilePath(state.directory);
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kFileBytesMax));
  const Json document = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  // The library throws on missing or mistyped members; this is the edge where that ends.
  try {
    if (document.size() != state.servers.size()) {
      return base::InvalidArgument(fmt::format(
          "the lab in {} was made with {} etcd members, which is not changed by --servers {}\n"
          "use another --dir",
          state.directory, document.size(), state.servers.size()));
    }
    for (LabServer& server : state.servers) {
      server.etcd_client = document.at(server.name).at("client").get<std::string>();
      server.etcd_peer = document.at(server.name).at("peer").get<std::string>();
    }
  } catch (const Json::exception& error) {
    return base::Corruption(fmt::format("{}: {}", path, error.what()));
  }
  return {};
}

}  // namespace

bool LabHasEtcd(env::Env& env, const std::string& directory) {
  return env::Exists(env, FilePath(directory));
}

base::Status AssignMembers(env::Env& env, LabState& state) {
  if (state.servers.size() % 2 == 0) {
    return base::InvalidArgument(
        fmt::format("a lab with etcd has 1, 3, 5, 7 or 9 servers, not {}: an even number survives "
                    "no more failures than one less",
                    state.servers.size()));
  }
  if (LabHasEtcd(env, state.directory)) return ReadMembers(env, state);
  ASSIGN_OR_RETURN(const auto ports, FreePorts(2 * state.servers.size()));
  Json document;
  for (size_t i = 0; i < state.servers.size(); ++i) {
    LabServer& server = state.servers[i];
    server.etcd_client = fmt::format("127.0.0.1:{}", ports[2 * i]);
    server.etcd_peer = fmt::format("127.0.0.1:{}", ports[2 * i + 1]);
    document[server.name] = Json{{"client", server.etcd_client}, {"peer", server.etcd_peer}};
  }
  const std::string text = ToText(document, 2) + "\n";
  return env::WriteFileAtomically(
      env, FilePath(state.directory),
      base::ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

}  // namespace understudy::cli
