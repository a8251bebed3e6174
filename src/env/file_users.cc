// SPDX-License-Identifier: Apache-2.0
#include "env/file_users.h"

#include <algorithm>

namespace understudy::env {
namespace {

constexpr const char* kProcesses = "/proc";
constexpr size_t kNameBytesMax = 64;

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool HasOpen(Env& env, const std::string& process, const FileStat& file) {
  const std::string directory = JoinPath(process, "fd");
  const auto descriptors = env.List(directory);
  if (!descriptors.ok()) return false;
  return std::any_of(descriptors->begin(), descriptors->end(), [&](const std::string& number) {
    const auto open = env.Stat(JoinPath(directory, number));
    return open.ok() && open->device == file.device && open->inode == file.inode;
  });
}

std::string NameOf(Env& env, const std::string& process) {
  const auto file = env.Open(JoinPath(process, "comm"), OpenMode::kRead);
  if (!file.ok()) return "";
  base::Bytes bytes(kNameBytesMax);
  const auto got = (*file)->ReadAt(0, bytes);
  if (!got.ok()) return "";
  std::string name(reinterpret_cast<const char*>(bytes.data()), *got);
  name.erase(std::min(name.find('\n'), name.size()));
  return name;
}

}  // namespace

std::vector<FileUser> FileUsers(Env& env, const std::string& path) {
  std::vector<FileUser> users;
  const auto file = env.Stat(path);
  const auto processes = env.List(kProcesses);
  if (!file.ok() || !processes.ok()) return users;
  for (const std::string& pid : *processes) {
    const std::string process = JoinPath(kProcesses, pid);
    if (!IsNumber(pid) || !HasOpen(env, process, *file)) continue;
    users.push_back({pid, NameOf(env, process)});
    if (users.size() == kFileUsersMax) break;
  }
  return users;
}

base::Status CheckNotInUse(Env& env, const std::string& path) {
  std::string names;
  for (const FileUser& user : FileUsers(env, path)) {
    names += (names.empty() ? "process " : ", ") + user.pid;
    if (!user.name.empty()) names += " (" + user.name + ")";
  }
  if (names.empty()) return {};
  return base::Busy(path + " is in use by " + names + "; stop it, or choose another file");
}

}  // namespace understudy::env
