// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/groups.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

base::Status Version(Context& context) {
  Json document;
  document["version"] = std::string(rpc::kVersion);
  document["admin_protocol"] = rpc::kAdminProtocolVersion;
  context.output().Document(document, fmt::format("understudy {} (admin protocol {})\n",
                                                  rpc::kVersion, rpc::kAdminProtocolVersion));
  return {};
}

}  // namespace

Group VersionCommands() {
  return {"",
          "",
          {{.name = "version",
            .summary = "Print the version of this command",
            .example = "understudy version",
            .define = [](CLI::App&) -> Runner { return Version; }}}};
}

}  // namespace understudy::cli
