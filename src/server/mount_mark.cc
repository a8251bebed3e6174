// SPDX-License-Identifier: Apache-2.0
#include "server/mount_mark.h"

#include <nlohmann/json.hpp>

namespace understudy::server {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMarkBytesMax = 64 << 10;

std::string MarkPath(const CopyPaths& paths) {
  return env::JoinPath(paths.directory, ".mount.json");
}

}  // namespace

base::Status SaveMountMark(env::Env& env, const CopyPaths& paths, const MountMark& mark) {
  const Json json{{"path", mark.path},
                  {"boot_id", mark.boot_id},
                  {"inode", mark.inode},
                  {"has_peers", mark.has_peers}};
  const std::string text =
      json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
  return env::WriteFileAtomically(env, MarkPath(paths), base::AsBytes(text));
}

base::Status ClearMountMark(env::Env& env, const CopyPaths& paths) {
  const base::Status removed = env.Remove(MarkPath(paths));
  if (removed.code() == base::Code::kNotFound) return {};
  RETURN_IF_ERROR(removed);
  return env.SyncDirectory(paths.directory);
}

base::Result<std::optional<MountMark>> LoadMountMark(env::Env& env, const CopyPaths& paths) {
  const base::Result<base::Bytes> bytes = env::ReadFile(env, MarkPath(paths), kMarkBytesMax);
  if (bytes.status().code() == base::Code::kNotFound) return std::optional<MountMark>();
  RETURN_IF_ERROR(bytes.status());
  const Json json = Json::parse(bytes->begin(), bytes->end(), nullptr, /*allow_exceptions=*/false);
  const auto field = [&](const char* name) -> std::string {
    if (!json.is_object() || !json.contains(name) || !json[name].is_string()) return {};
    return json[name].get<std::string>();
  };
  MountMark mark{field("path"), field("boot_id"), field("inode")};
  const bool told =
      json.is_object() && json.contains("has_peers") && json["has_peers"].is_boolean();
  mark.has_peers = told && json["has_peers"].get<bool>();
  return std::optional(std::move(mark));
}

base::Result<bool> WasLeftMounted(env::Env& env, const CopyPaths& paths, base::DatabaseId id) {
  ASSIGN_OR_RETURN(const std::optional<MountMark> mark, LoadMountMark(env, paths));
  if (!mark) return false;
  return IsDirectoryOf(env, paths, id);
}

}  // namespace understudy::server
