// SPDX-License-Identifier: Apache-2.0
#include "server/recoveries.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace understudy::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kManifest = "recovery.json";
constexpr std::string_view kFormat = "understudy-recovery";

std::string Root(const std::string& data_dir) { return env::JoinPath(data_dir, ".recovery"); }
std::string DirectoryOf(const std::string& data_dir, const std::string& name) {
  return env::JoinPath(Root(data_dir), name);
}
std::string ManifestOf(const std::string& data_dir, const std::string& name) {
  return env::JoinPath(DirectoryOf(data_dir, name), kManifest);
}

// Names of directories, whether there is a manifest or not.
std::vector<std::string> Names(env::Env& env, const std::string& data_dir) {
  auto names = env.List(Root(data_dir));
  if (!names.ok()) return {};
  std::erase_if(*names, [](const std::string& name) {
    return !base::CheckName("name of a recovery database", name).ok();
  });
  std::ranges::sort(*names);
  return std::move(*names);
}

// The manifest first: what is left then is no recovery database.
base::Status RemoveDirectory(env::Env& env, const std::string& data_dir, const std::string& name) {
  const std::string directory = DirectoryOf(data_dir, name);
  const base::Status manifest = env.Remove(ManifestOf(data_dir, name));
  if (!manifest.ok() && manifest.code() != base::Code::kNotFound) return manifest;
  RETURN_IF_ERROR(env.SyncDirectory(directory));
  ASSIGN_OR_RETURN(const std::vector<std::string> files, env.List(directory));
  for (const std::string& file : files) {
    RETURN_IF_ERROR(env.Remove(env::JoinPath(directory, file)));
  }
  RETURN_IF_ERROR(env.RemoveDirectory(directory));
  return env.SyncDirectory(Root(data_dir));
}

}  // namespace

std::string ToJson(const Recovery& recovery) {
  const Json json = {{"format", kFormat},
                     {"version", 1},
                     {"name", recovery.name},
                     {"database", recovery.database},
                     {"database_id", recovery.database_id.ToHex()},
                     {"backup", recovery.backup},
                     {"term", recovery.position.term.value},
                     {"seq", recovery.position.seq.value},
                     {"commit_time", base::ToRfc3339(recovery.commit_time)},
                     {"created", base::ToRfc3339(recovery.created)},
                     {"bytes", recovery.bytes}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<Recovery> RecoveryFromJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto all = [&](std::initializer_list<const char*> names, auto fits) {
    return std::ranges::all_of(names, [&](const char* name) {
      return json.is_object() && json.contains(name) && (json[name].*fits)();
    });
  };
  if (!all({"format", "name", "database", "database_id", "backup", "commit_time", "created"},
           &Json::is_string) ||
      !all({"term", "seq", "bytes"}, &Json::is_number_unsigned) || json["format"] != kFormat) {
    return base::Corruption("it is no manifest of a recovery database");
  }
  const auto text_of = [&](const char* name) { return json[name].get<std::string>(); };
  Recovery recovery{.name = text_of("name"),
                    .database = text_of("database"),
                    .backup = text_of("backup"),
                    .position = {base::Term(json["term"].get<uint64_t>()),
                                 base::Seq(json["seq"].get<uint64_t>())},
                    .bytes = json["bytes"].get<uint64_t>()};
  ASSIGN_OR_RETURN(recovery.database_id, base::DatabaseId::FromHex(text_of("database_id")));
  ASSIGN_OR_RETURN(recovery.commit_time, base::FromRfc3339(text_of("commit_time")));
  ASSIGN_OR_RETURN(recovery.created, base::FromRfc3339(text_of("created")));
  return recovery;
}

std::string RecoveryPath(const std::string& data_dir, const std::string& name) {
  return env::JoinPath(DirectoryOf(data_dir, name), name + ".db");
}

base::Result<std::vector<Recovery>> ListRecoveries(env::Env& env, const std::string& data_dir) {
  std::vector<Recovery> recoveries;
  for (const std::string& name : Names(env, data_dir)) {
    const auto text = env::ReadFile(env, ManifestOf(data_dir, name), kRecoveryManifestBytesMax);
    if (text.status().code() == base::Code::kNotFound) continue;  // it is being made
    RETURN_IF_ERROR(text.status());
    base::Result<Recovery> recovery =
        RecoveryFromJson({reinterpret_cast<const char*>(text->data()), text->size()});
    if (!recovery.ok()) {
      return recovery.status().WithContext(ManifestOf(data_dir, name));
    }
    recovery->name = name;
    recoveries.push_back(std::move(*recovery));
  }
  return recoveries;
}

base::Status PrepareRecovery(env::Env& env, const std::string& data_dir, const std::string& name) {
  RETURN_IF_ERROR(base::CheckName("name of a recovery database", name));
  const std::vector<std::string> names = Names(env, data_dir);
  if (std::ranges::find(names, name) != names.end()) {
    return base::AlreadyExists(
        fmt::format("there is a recovery database {0} on this server\nremove it first: understudy "
                    "recovery remove {0}",
                    name));
  }
  if (names.size() >= kRecoveriesMax) {
    return base::Busy(
        fmt::format("this server has {} recovery databases, which is the most\nremove "
                    "one first: understudy recovery list",
                    names.size()));
  }
  return env.MakeDirectories(DirectoryOf(data_dir, name));
}

base::Status FinishRecovery(env::Env& env, const std::string& data_dir, const Recovery& recovery) {
  return env::WriteFileAtomically(env, ManifestOf(data_dir, recovery.name),
                                  base::AsBytes(ToJson(recovery)));
}

base::Status RemoveRecovery(env::Env& env, const std::string& data_dir, const std::string& name) {
  RETURN_IF_ERROR(base::CheckName("name of a recovery database", name));
  return RemoveDirectory(env, data_dir, name);
}

void RemoveUnfinishedRecoveries(env::Env& env, const std::string& data_dir) {
  for (const std::string& name : Names(env, data_dir)) {
    if (env::Exists(env, ManifestOf(data_dir, name))) continue;
    RemoveDirectory(env, data_dir, name).IgnoreError();  // the next start tries again
  }
}

}  // namespace understudy::server
