// SPDX-License-Identifier: Apache-2.0
#include "env/env.h"

#include <fmt/format.h>

namespace understudy::env {

using base::Status;

base::Status Env::Clone(const std::string& from, const std::string& to) {
  return base::InvalidArgument("clone " + from + " as " + to + ": these files cannot be cloned");
}

bool Exists(Env& env, const std::string& path) { return env.Stat(path).ok(); }

std::string DirectoryOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string BaseNameOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

base::Result<base::Bytes> ReadFile(Env& env, const std::string& path, uint64_t bytes_max) {
  ASSIGN_OR_RETURN(auto file, env.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > bytes_max) {
    return base::InvalidArgument(fmt::format(
        "{} has {} bytes, more than the {} that such a file may have", path, size, bytes_max));
  }
  base::Bytes content(size);
  ASSIGN_OR_RETURN(const size_t got, file->ReadAt(0, content));
  content.resize(got);
  return content;
}

base::Result<std::string> ReadHead(Env& env, const std::string& path, size_t bytes_max) {
  ASSIGN_OR_RETURN(const auto file, env.Open(path, OpenMode::kRead));
  std::string text(bytes_max, '\0');
  size_t read = 0;
  while (read < text.size()) {
    const std::span<uint8_t> rest(reinterpret_cast<uint8_t*>(text.data()) + read,
                                  text.size() - read);
    ASSIGN_OR_RETURN(const size_t more, file->ReadAt(read, rest));
    if (more == 0) break;
    read += more;
  }
  text.resize(read);
  return text;
}

namespace {

Status Replace(Env& env, const std::string& path, base::ByteView content, OpenMode mode) {
  const std::string temporary = path + ".tmp";
  ASSIGN_OR_RETURN(auto file, env.Open(temporary, mode));
  RETURN_IF_ERROR(file->WriteAt(0, content));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  RETURN_IF_ERROR(env.Rename(temporary, path));
  return env.SyncDirectory(DirectoryOf(path));
}

}  // namespace

Status WriteFileAtomically(Env& env, const std::string& path, base::ByteView content) {
  return Replace(env, path, content, OpenMode::kCreateTruncate);
}

Status WritePrivateFileAtomically(Env& env, const std::string& path, base::ByteView content) {
  // One that a crash left behind may be readable by others: it is not written into.
  const Status removed = env.Remove(path + ".tmp");
  if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
  return Replace(env, path, content, OpenMode::kCreateNewPrivate);
}

}  // namespace understudy::env
