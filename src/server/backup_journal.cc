// SPDX-License-Identifier: Apache-2.0
#include "server/backup_journal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/diag.h"

namespace understudy::server {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kBytesMax = 64 << 10;
constexpr uint64_t kWaitMsMax = 7 * 86'400'000;

std::string Directory(const std::string& data_dir) { return env::JoinPath(data_dir, ".backups"); }
std::string PathOf(const std::string& data_dir, const std::string& id) {
  return env::JoinPath(Directory(data_dir), id + ".json");
}

base::Result<JournalledBackup> Read(env::Env& env, const std::string& path) {
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kBytesMax));
  Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) json = Json::object();
  const auto text = [&](const char* name) -> std::string {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto number = [&](const char* name) -> uint64_t {
    const auto found = json.find(name);
    return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  };
  JournalledBackup backup;
  backup.options.id = text("id");
  backup.options.database = text("database");
  backup.options.requester = text("requester");
  backup.options.repository = text("repository");
  backup.options.wait =
      std::chrono::milliseconds(std::min<uint64_t>(number("wait_ms"), kWaitMsMax));
  backup.options.within =
      std::chrono::milliseconds(std::min<uint64_t>(number("within_ms"), kWaitMsMax));
  backup.attempt = std::max<uint64_t>(number("attempt"), 1);
  const auto type = backup::BackupTypeFromName(text("type"));
  if (!type || !backup::IsBackupId(backup.options.id) || backup.options.repository.empty() ||
      !base::CheckName("database name", backup.options.database).ok()) {
    return base::Corruption(path + " is not the journal of a backup");
  }
  backup.options.type = *type;
  const auto or_full = json.find("or_full");
  backup.options.or_full = or_full != json.end() && *or_full == Json(true);
  return backup;
}

}  // namespace

base::Status SaveBackup(env::Env& env, const std::string& data_dir,
                        const JournalledBackup& backup) {
  const BackupSession::Options& options = backup.options;
  RETURN_IF_ERROR(env.MakeDirectories(Directory(data_dir)));
  const Json json{
      {"id", options.id},
      {"database", options.database},
      {"requester", options.requester},
      {"type", backup::BackupTypeName(options.type)},
      {"or_full", options.or_full},
      {"repository", options.repository},
      {"wait_ms", static_cast<uint64_t>(options.wait / std::chrono::milliseconds(1))},
      {"within_ms", static_cast<uint64_t>(options.within / std::chrono::milliseconds(1))},
      {"attempt", backup.attempt}};
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return env::WriteFileAtomically(env, PathOf(data_dir, options.id), base::AsBytes(text));
}

void ForgetBackup(env::Env& env, const std::string& data_dir, const std::string& id) {
  base::Status status = env.Remove(PathOf(data_dir, id));
  if (status.ok()) status = env.SyncDirectory(Directory(data_dir));
  if (status.ok() || status.code() == base::Code::kNotFound) return;
  base::Diag(base::DiagLevel::kWarning, "backup", "the journal of a backup is left",
             {{"id", id}, {"why", status.ToString()}});
}

std::vector<JournalledBackup> LoadBackups(env::Env& env, const std::string& data_dir) {
  std::vector<JournalledBackup> backups;
  const base::Result<std::vector<std::string>> names = env.List(Directory(data_dir));
  if (!names.ok()) return backups;
  for (const std::string& name : *names) {
    const std::string path = env::JoinPath(Directory(data_dir), name);
    base::Result<JournalledBackup> backup = Read(env, path);
    if (backup.ok()) {
      backups.push_back(std::move(backup).value());
      continue;
    }
    base::Diag(base::DiagLevel::kWarning, "backup", "not begun again",
               {{"why", backup.status().ToString()}});
    env.Remove(path).IgnoreError();
  }
  return backups;
}

}  // namespace understudy::server
