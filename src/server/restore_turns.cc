// SPDX-License-Identifier: Apache-2.0
#include "server/restore_turns.h"

#include <fmt/format.h>

#include <utility>

namespace understudy::server {
namespace {

std::string Directory(const std::string& data_dir) { return env::JoinPath(data_dir, ".restored"); }

}  // namespace

RestoreTurns::Turn::Turn(RestoreTurns& turns, env::Env& env, std::string database, std::string path)
    : turns_(&turns), env_(env), database_(std::move(database)), path_(std::move(path)) {}

RestoreTurns::Turn::Turn(Turn&& from) noexcept
    : turns_(std::exchange(from.turns_, nullptr)),
      env_(from.env_),
      database_(from.database_),
      path_(from.path_) {}

RestoreTurns::Turn::~Turn() {
  if (turns_ == nullptr) return;
  if (env::Exists(env_, path_)) env_.Remove(path_).IgnoreError();  // the next start does
  turns_->End(database_);
}

base::Result<RestoreTurns::Turn> RestoreTurns::Take(env::Env& env, const std::string& data_dir,
                                                    const std::string& database) {
  const std::string directory = Directory(data_dir);
  RETURN_IF_ERROR(env.MakeDirectories(directory));
  base::MutexLock lock(mutex_);
  if (!running_.insert(database).second) {
    return base::Busy(fmt::format("{} is being restored on this server already", database));
  }
  return Turn(*this, env, database, env::JoinPath(directory, database + ".db"));
}

void RestoreTurns::End(const std::string& database) {
  base::MutexLock lock(mutex_);
  running_.erase(database);
}

void RemoveRestored(env::Env& env, const std::string& data_dir) {
  const std::string directory = Directory(data_dir);
  const auto names = env.List(directory);
  if (!names.ok()) return;
  for (const std::string& name : *names) env.Remove(env::JoinPath(directory, name)).IgnoreError();
}

}  // namespace understudy::server
