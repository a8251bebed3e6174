// SPDX-License-Identifier: Apache-2.0
#include "server/copy_directory.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/diag.h"

namespace understudy::server {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kSmallFileBytesMax = 64 << 10;

// The text of field `name` of a small JSON file; kNotFound when there is no such file.
base::Result<std::string> ReadField(env::Env& env, const std::string& path, const char* name) {
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kSmallFileBytesMax));
  const Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains(name) || !json[name].is_string()) {
    return base::Corruption(fmt::format("{} is damaged: it has no text \"{}\"", path, name));
  }
  return json[name].get<std::string>();
}

base::Status WriteField(env::Env& env, const std::string& path, const char* name,
                        const std::string& value) {
  const std::string text = Json{{name, value}}.dump() + "\n";
  return env::WriteFileAtomically(env, path, base::AsBytes(text));
}

base::Status RemoveIfPresent(env::Env& env, const std::string& path) {
  const base::Status status = env.Remove(path);
  return status.code() == base::Code::kNotFound ? base::Status() : status;
}

}  // namespace

base::Result<DataDirectory> OpenDataDirectory(env::Env& env, const std::string& path) {
  RETURN_IF_ERROR(env.MakeDirectories(path).WithContext("server.data_dir"));
  DataDirectory directory;
  directory.path = path;
  base::Result<std::unique_ptr<env::FileLock>> lock = env.Lock(env::JoinPath(path, ".lock"));
  if (!lock.ok()) {
    if (lock.status().code() != base::Code::kBusy) return lock.status();
    return base::Busy(
        fmt::format("another understudyd uses the data directory {}\nstop it first, or give this "
                    "one its own server.data_dir",
                    path));
  }
  directory.lock = std::move(lock).value();
  const std::string file = env::JoinPath(path, ".server.json");
  base::Result<std::string> identity = ReadField(env, file, "identity");
  if (identity.ok()) {
    directory.identity = std::move(identity).value();
  } else if (identity.status().code() == base::Code::kNotFound) {
    directory.identity = fmt::format("{:016x}{:016x}", env.Random(), env.Random());
    RETURN_IF_ERROR(WriteField(env, file, "identity", directory.identity));
  } else {
    return identity.status();
  }
  return directory;
}

CopyPaths PathsOf(const std::string& data_dir, const std::string& database) {
  const std::string directory = env::JoinPath(data_dir, database);
  return {directory, env::JoinPath(directory, "log"), env::JoinPath(directory, "checkpoint")};
}

base::Status ClaimCopyDirectory(env::Env& env, const std::string& data_dir,
                                const std::string& database, base::DatabaseId id) {
  const CopyPaths paths = PathsOf(data_dir, database);
  const std::string file = env::JoinPath(paths.directory, kCopyIdentity);
  base::Result<std::string> owner = ReadField(env, file, "id");
  if (owner.ok() && *owner == id.ToHex()) return {};
  if (!owner.ok() && owner.status().code() != base::Code::kNotFound) return owner.status();
  if (owner.ok()) {
    const std::string aside =
        env::JoinPath(data_dir, fmt::format(".removed-{}-{}", database, owner->substr(0, 8)));
    base::Diag(base::DiagLevel::kWarning, "server", "moved files of a removed database away",
               {{"database", database}, {"to", aside}});
    RETURN_IF_ERROR(env.RenameNew(paths.directory, aside));
  }
  RETURN_IF_ERROR(env.MakeDirectories(paths.directory));
  RETURN_IF_ERROR(WriteField(env, file, "id", id.ToHex()));
  return env.SyncDirectory(data_dir);
}

base::Result<bool> IsDirectoryOf(env::Env& env, const CopyPaths& paths, base::DatabaseId id) {
  const base::Result<std::string> owner =
      ReadField(env, env::JoinPath(paths.directory, kCopyIdentity), "id");
  if (owner.ok()) return *owner == id.ToHex();
  if (owner.status().code() == base::Code::kNotFound) return false;
  return owner.status();
}

base::Status RemoveLog(env::Env& env, const CopyPaths& paths) {
  // First: its marks must not be taken for those of another log.
  RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.directory, kLagFile)));
  base::Result<std::vector<std::string>> names = env.List(paths.log);
  if (!names.ok()) {
    return names.status().code() == base::Code::kNotFound ? base::Status() : names.status();
  }
  for (const std::string& name : *names) {
    RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.log, name)));
  }
  return env.RemoveDirectory(paths.log);
}

base::Status RemoveCopyFiles(env::Env& env, const CopyPaths& paths) {
  RETURN_IF_ERROR(RemoveLog(env, paths));
  RETURN_IF_ERROR(RemoveIfPresent(env, paths.checkpoint));
  RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.directory, ".mount.json")));
  RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.directory, ".reseed")));
  RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.directory, kActivateFile)));
  RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.directory, ".scrub.json")));
  RETURN_IF_ERROR(RemoveIfPresent(env, env::JoinPath(paths.directory, kCopyIdentity)));
  // A database that was kept stays, and so does its directory.
  env.RemoveDirectory(paths.directory).IgnoreError();
  return {};
}

base::Status RemoveDatabaseFiles(env::Env& env, const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal", ".seeding", ".seeding.state"}) {
    RETURN_IF_ERROR(RemoveIfPresent(env, path + suffix));
  }
  return {};
}

}  // namespace understudy::server
