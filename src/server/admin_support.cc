// SPDX-License-Identifier: Apache-2.0
// What this server knows of itself, for a report about a problem.
#include <fmt/format.h>
#include <unistd.h>

#include "rpc/protocol.h"
#include "server/admin.h"
#include "server/config_redact.h"
#include "server/diag_sink.h"
#include "store/location.h"

namespace understudy::server {
namespace {

constexpr size_t kFileBytesMax = 8 << 10;  // of one that is told

void AddFact(v1::SupportFactsResponse& to, const std::string& name, const std::string& value) {
  v1::SupportFact* const fact = to.add_facts();
  fact->set_name(name);
  fact->set_value(value);
}

std::string CountOf(env::Env& env, const std::string& directory) {
  const auto names = env.List(directory);
  return names.ok() ? std::to_string(names->size()) : "unknown";
}

void AddSpace(env::Env& env, const std::string& name, const std::string& path,
              v1::SupportFactsResponse& to) {
  const base::Result<env::Space> space = env.FreeSpace(path);
  AddFact(to, name,
          space.ok() ? fmt::format("{} of {} bytes are free on the disk of {}", space->free,
                                   space->total, path)
                     : space.status().message());
}

}  // namespace

base::Result<v1::SupportFactsResponse> Admin::SupportFacts(const v1::SupportFactsRequest&) {
  env::Env& env = context_.env;
  const Config config = context_.settings.Get();
  v1::SupportFactsResponse response;
  response.set_server(context_.server);
  AddFact(response, "version", std::string(rpc::kVersion));
  AddFact(response, "time", base::ToRfc3339(env.WallNow()));
  AddFact(response, "pid", std::to_string(::getpid()));
  AddFact(response, "descriptors", CountOf(env, "/proc/self/fd"));
  AddFact(response, "threads", CountOf(env, "/proc/self/task"));
  AddSpace(env, "data_dir", config.server.data_dir, response);
  const base::Result<store::Location> place = store::ParseLocation(config.backup.repository);
  if (place.ok() && place->directory.starts_with('/')) {
    AddSpace(env, "repository", place->directory, response);
  }
  for (const char* path :
       {"/proc/self/status", "/proc/loadavg", "/proc/sys/net/ipv4/tcp_keepalive_time",
        "/proc/sys/kernel/osrelease", "/etc/os-release"}) {
    const base::Result<std::string> text = env::ReadHead(env, path, kFileBytesMax);
    AddFact(response, path, text.ok() ? *text : text.status().message());
  }
  const auto text = env::ReadFile(env, config.path, kConfigBytesMax);
  response.set_configuration(
      text.ok() ? RedactConfig({reinterpret_cast<const char*>(text->data()), text->size()})
                : fmt::format("# {}\n", text.status().message()));
  for (std::string& line : RecentDiag()) *response.add_diagnostics() = std::move(line);
  return response;
}

}  // namespace understudy::server
