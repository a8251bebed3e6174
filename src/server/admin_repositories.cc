// SPDX-License-Identifier: Apache-2.0
// The group's repositories: places for backups that every server knows by name
// (docs/design/0040-repositories-and-schedules.md).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "backup/repository_check.h"
#include "base/first_line.h"
#include "base/mutex.h"
#include "cluster/backup_plans.h"
#include "server/admin.h"
#include "server/ask_peers.h"
#include "store/location.h"

namespace understudy::server {
namespace {

using cluster::BackupPlans;
using cluster::EventNumber;
using cluster::RepositoryRecord;
using cluster::Severity;

// An S3 server may be far away, and repeats what fails.
constexpr base::Duration kCheckLimit = std::chrono::seconds(30);

v1::Repository ToProto(const RepositoryRecord& record) {
  v1::Repository to;
  to.set_name(record.name);
  to.set_location(record.location);
  to.set_rate(record.rate);
  to.set_key_file(record.key_file);
  to.set_keep_full(record.keep_full);
  to.set_keep_days(record.keep_days);
  to.set_created_ms(record.created.unix_ms);
  to.set_full_location(record.FullLocation());
  return to;
}

v1::ListRepositoriesResponse JustOne(const RepositoryRecord& record) {
  v1::ListRepositoriesResponse response;
  *response.add_repositories() = ToProto(record);
  return response;
}

base::Status NoRepository(const std::vector<RepositoryRecord>& known) {
  std::vector<std::string> names;
  for (const RepositoryRecord& record : known) names.push_back(record.name);
  if (names.empty()) {
    return base::InvalidArgument(
        "no repository is named, the group has none, and backup.repository is not set\nadd one: "
        "understudy repository add NAME LOCATION; or name a place with --to or --repo");
  }
  return base::InvalidArgument(fmt::format(
      "no repository is named, and the group has several\nname one of {} with --to or --repo, or "
      "set backup.repository in the configuration",
      fmt::join(names, ", ")));
}

base::Status CheckLocation(const std::string& location) {
  ASSIGN_OR_RETURN(const store::Location parsed, store::ParseLocation(location));
  if (parsed.bucket || parsed.directory.starts_with('/')) return {};
  return base::InvalidArgument(
      fmt::format("{} is no place for backups: it is a directory's absolute path, or "
                  "s3://BUCKET/PREFIX?endpoint=https://HOST",
                  location));
}

void Fill(const backup::PlaceCheck& check, v1::RepositoryCheck& to) {
  to.set_good(true);
  to.set_write_us(check.write / std::chrono::microseconds(1));
  to.set_read_us(check.read / std::chrono::microseconds(1));
  to.set_exclusive(check.exclusive);
  to.set_free_known(check.space.has_value());
  if (check.space) to.set_free_bytes(check.space->free);
  to.set_exists(check.exists);
  to.set_databases(check.databases);
}

void Fill(const base::Status& failure, v1::RepositoryCheck& to) {
  to.set_error(base::FirstLine(failure.message()));
  if (to.error().size() < failure.message().size()) {
    to.set_hint(failure.message().substr(to.error().size() + 1));
  }
}

}  // namespace

base::Result<std::string> Admin::RepositoryPath(const std::string& asked) {
  const std::string wanted = asked.empty() ? context_.settings.Get().backup.repository : asked;
  if (!wanted.empty() && !cluster::IsRepositoryName(wanted)) {
    if (wanted[0] == '/' || store::IsBucket(wanted)) return wanted;
    return base::InvalidArgument(fmt::format("the repository path {} must be absolute", wanted));
  }
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::PlansView plans, group.Plans());
  const std::vector<RepositoryRecord>& known = plans.repositories;
  if (wanted.empty()) {
    if (known.size() == 1) return known.front().FullLocation();
    return NoRepository(known);
  }
  ASSIGN_OR_RETURN(const RepositoryRecord record, cluster::FindByName("repository", known, wanted));
  return record.FullLocation();
}

base::Status Admin::CheckRecord(const RepositoryRecord& record) {
  RETURN_IF_ERROR(base::CheckName("name of a repository", record.name));
  if (!record.key_file.empty() && !record.key_file.starts_with('/')) {
    return base::InvalidArgument(fmt::format(
        "the key file {} must have an absolute path: it is read on every server", record.key_file));
  }
  return CheckLocation(record.FullLocation());
}

base::Result<v1::ListRepositoriesResponse> Admin::AddRepository(
    const v1::AddRepositoryRequest& request) {
  const v1::Repository& asked = request.repository();
  const RepositoryRecord record{.name = asked.name(),
                                .location = asked.location(),
                                .rate = asked.rate(),
                                .key_file = asked.key_file(),
                                .keep_full = asked.keep_full(),
                                .keep_days = asked.keep_days(),
                                .created = context_.env.WallNow()};
  RETURN_IF_ERROR(CheckRecord(record));
  RETURN_IF_ERROR(BackupPlans(context_.registry.coordinator()).CreateRepository(record));
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, "",
      fmt::format("the group: repository {} is {}", record.name, record.FullLocation()));
  return JustOne(record);
}

base::Result<v1::ListRepositoriesResponse> Admin::SetRepository(
    const v1::SetRepositoryRequest& request) {
  const auto edit = [&](RepositoryRecord& record) {
    if (request.has_location()) record.location = request.location();
    if (request.has_rate()) record.rate = request.rate();
    if (request.has_key_file()) record.key_file = request.key_file();
    if (request.has_keep_full()) record.keep_full = request.keep_full();
    if (request.has_keep_days()) record.keep_days = request.keep_days();
    return CheckRecord(record);
  };
  ASSIGN_OR_RETURN(
      const RepositoryRecord record,
      BackupPlans(context_.registry.coordinator()).UpdateRepository(request.name(), edit));
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, "",
      fmt::format("the group: repository {} is {}, a prune keeps {} full backups "
                  "and {} days",
                  record.name, record.FullLocation(), record.keep_full, record.keep_days));
  return JustOne(record);
}

base::Result<v1::RemoveRepositoryResponse> Admin::RemoveRepository(
    const v1::RemoveRepositoryRequest& request) {
  RETURN_IF_ERROR(BackupPlans(context_.registry.coordinator()).RemoveRepository(request.name()));
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, "",
      fmt::format("the group: repository {} is not known any more; what is stored there stays",
                  request.name()));
  return v1::RemoveRepositoryResponse();
}

base::Result<v1::ListRepositoriesResponse> Admin::ListRepositories(
    const v1::ListRepositoriesRequest& request) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::PlansView plans, group.Plans());
  v1::ListRepositoriesResponse response;
  if (request.name().empty()) {
    for (const RepositoryRecord& record : plans.repositories) {
      *response.add_repositories() = ToProto(record);
    }
  } else {
    ASSIGN_OR_RETURN(const RepositoryRecord record,
                     cluster::FindByName("repository", plans.repositories, request.name()));
    response = JustOne(record);
  }
  response.set_coordinator_silence_ms(group.silence_ms());
  return response;
}

v1::RepositoryCheck Admin::CheckRepositoryHere(const std::string& location) {
  v1::RepositoryCheck check;
  check.set_server(context_.server);
  const base::Result<backup::PlaceCheck> found =
      backup::CheckPlace(context_.env, location, context_.server);
  found.ok() ? Fill(*found, check) : Fill(found.status(), check);
  return check;
}

base::Result<v1::CheckRepositoryResponse> Admin::CheckRepository(
    const v1::CheckRepositoryRequest& request) {
  ASSIGN_OR_RETURN(const std::string location, RepositoryPath(request.repository()));
  RETURN_IF_ERROR(CheckLocation(location));
  v1::CheckRepositoryResponse response;
  *response.add_checks() = CheckRepositoryHere(location);
  if (request.local()) return response;
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers,
                   KnownGroup(context_, cache_).Servers());
  std::map<std::string, v1::RepositoryCheck> answers;
  std::set<std::string> others;
  for (const cluster::ServerRecord& server : servers) {
    if (server.name == context_.server) continue;
    v1::RepositoryCheck& check = answers[server.name];
    check.set_server(server.name);
    check.set_error("the server is down");
    if (server.alive) others.insert(server.name);
  }
  v1::CheckRepositoryRequest ask;
  ask.set_repository(location);
  ask.set_local(true);
  base::Mutex mutex;  // guards `answers`
  AskPeers(others, [&](const std::string& server) {
    base::Result<v1::CheckRepositoryResponse> answer = base::Unavailable("");
    const auto client = Dial(server);
    answer = client.ok() ? (*client)->CheckRepository(ask, kCheckLimit) : client.status();
    base::MutexLock lock(mutex);
    v1::RepositoryCheck& check = answers[server];
    check.clear_error();
    if (answer.ok() && answer->checks_size() == 1) check = answer->checks(0);
    if (!answer.ok()) Fill(answer.status(), check);
  });
  for (auto& [server, check] : answers) *response.add_checks() = std::move(check);
  return response;
}

}  // namespace understudy::server
