// SPDX-License-Identifier: Apache-2.0
#include "cli/repository_argument.h"

#include <fmt/format.h>

#include <filesystem>

#include "cluster/backup_plan_records.h"
#include "rpc/protocol.h"
#include "store/location.h"

namespace understudy::cli {

std::string AbsoluteLocation(const std::string& typed) {
  if (NeedsServer(typed) || store::IsBucket(typed)) return typed;
  const size_t question = std::min(typed.find('?'), typed.size());
  const std::string directory = typed.substr(0, question);
  return std::filesystem::absolute(directory).lexically_normal().string() + typed.substr(question);
}

bool NeedsServer(const std::string& typed) {
  return typed.empty() || cluster::IsRepositoryName(typed);
}

base::Result<std::string> LocationHere(Context& context, const std::string& typed) {
  if (!NeedsServer(typed)) return AbsoluteLocation(typed);
  base::Result<std::unique_ptr<rpc::AdminClient>> client = context.Connect();
  if (!client.ok()) {
    return base::Status(
        client.status().code(),
        fmt::format("{0} is the name of a repository, and no server can be asked where it is: {1}\n"
                    "a directory of that name is ./{0}",
                    typed, client.status().message()));
  }
  v1::ListRepositoriesRequest request;
  request.set_name(typed);
  ASSIGN_OR_RETURN(
      const v1::ListRepositoriesResponse answer,
      (*client)->ListRepositories(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  if (answer.repositories_size() != 1) return base::NotFound("there is no repository " + typed);
  return answer.repositories(0).full_location();
}

CLI::Option* AddRepository(CLI::App& app, const std::string& option, std::string& target) {
  return app
      .add_option(option, target,
                  "a repository's name in the group, s3://BUCKET/PREFIX, or a directory on the "
                  "server that does the work (default: backup.repository there, or the only one of "
                  "the group)")
      ->type_name("REPO");
}

}  // namespace understudy::cli
