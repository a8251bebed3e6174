// SPDX-License-Identifier: Apache-2.0
#include "server/exposed_snapshot.h"

#include <fmt/format.h>

#include "backup/snapshot_scan.h"
#include "base/diag.h"

namespace understudy::server {
namespace {

constexpr const char* kExposed = ".exposed";
constexpr std::string_view kClonePrefix = ".clone-";

std::string FileIn(const std::string& directory, const std::string& database) {
  return env::JoinPath(directory, database + ".db");
}

}  // namespace

std::string ExposedDirectory(const std::string& data_dir, const std::string& session) {
  return env::JoinPath(env::JoinPath(data_dir, kExposed), session);
}

std::string ClonePath(const std::string& data_dir, const std::string& session) {
  return env::JoinPath(data_dir, std::string(kClonePrefix) + session + ".db");
}

base::Result<std::string> ExposeClone(env::Env& env, const std::string& clone,
                                      const std::string& database, const std::string& directory) {
  RETURN_IF_ERROR(env.MakeDirectories(directory));
  std::string path = FileIn(directory, database);
  RETURN_IF_ERROR(env.RenameNew(clone, path));
  RETURN_IF_ERROR(env.SyncDirectory(directory));
  return path;
}

base::Result<std::string> Expose(env::Env& env, backup::SnapshotSource& source,
                                 const std::string& directory, const base::ProgressSink& progress) {
  const uint64_t bytes = uint64_t{source.pages()} * source.page_size();
  RETURN_IF_ERROR(env.MakeDirectories(directory));
  ASSIGN_OR_RETURN(const env::Space space, env.FreeSpace(directory));
  if (space.free < bytes) {
    return base::NoSpace(fmt::format("the snapshot as a file needs {} bytes, {} are free in {}",
                                     bytes, space.free, directory));
  }
  const std::string path = FileIn(directory, source.origin().database_name);
  ASSIGN_OR_RETURN(const std::unique_ptr<env::File> file,
                   env.Open(path, env::OpenMode::kCreateTruncate));
  const uint32_t page_size = source.page_size();
  const auto write = [&](base::PageNo first, base::ByteView images) {
    return file->WriteAt(uint64_t{first.value - 1} * page_size, images);
  };
  RETURN_IF_ERROR(backup::ScanSnapshot(source, "exposing", progress, write));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  RETURN_IF_ERROR(env.SyncDirectory(directory));
  return path;
}

void RemoveExposed(env::Env& env, const std::string& directory) {
  base::Status status;
  const base::Result<std::vector<std::string>> names = env.List(directory);
  if (names.ok()) {
    for (const std::string& name : *names) {
      // A requester may have opened it with SQLite: then there is more than our file.
      const base::Status removed = env.Remove(env::JoinPath(directory, name));
      if (status.ok()) status = removed;
    }
    const base::Status removed = env.RemoveDirectory(directory);
    if (status.ok()) status = removed;
  } else if (names.status().code() != base::Code::kNotFound) {
    status = names.status();
  }
  if (status.ok()) return;
  base::Diag(base::DiagLevel::kWarning, "backup", "an exposed snapshot is left",
             {{"directory", directory}, {"why", status.ToString()}});
}

void RemoveAllExposed(env::Env& env, const std::string& data_dir) {
  const std::string all = env::JoinPath(data_dir, kExposed);
  if (const base::Result<std::vector<std::string>> sessions = env.List(all); sessions.ok()) {
    for (const std::string& session : *sessions) RemoveExposed(env, env::JoinPath(all, session));
  }
  const base::Result<std::vector<std::string>> names = env.List(data_dir);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.starts_with(kClonePrefix)) env.Remove(env::JoinPath(data_dir, name)).IgnoreError();
  }
}

}  // namespace understudy::server
