// SPDX-License-Identifier: Apache-2.0
// RestoreTurns: the databases that are being restored on this server, one restore of each at a
// time, and the files that they are made in: `.restored/DB.db` in the data directory. A file goes
// with its turn; what a killed daemon left goes when it starts (RemoveRestored).
// Threading: thread-safe; a Turn is confined to one thread.
#pragma once

#include <set>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "env/env.h"

namespace understudy::server {

class RestoreTurns {
 public:
  class Turn {
   public:
    Turn(RestoreTurns& turns, env::Env& env, std::string database, std::string path);
    Turn(Turn&& from) noexcept;
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Turn& operator=(Turn&&) = delete;

    const std::string& path() const { return path_; }

   private:
    RestoreTurns* turns_;  // nullptr: moved from
    env::Env& env_;
    const std::string database_;
    const std::string path_;
  };

  // kBusy while the database is being restored here.
  base::Result<Turn> Take(env::Env& env, const std::string& data_dir, const std::string& database)
      EXCLUDES_LOCK(mutex_);

 private:
  void End(const std::string& database) EXCLUDES_LOCK(mutex_);

  base::Mutex mutex_;
  std::set<std::string> running_ GUARDED_BY(mutex_);
};

// Before the first turn.
void RemoveRestored(env::Env& env, const std::string& data_dir);

}  // namespace understudy::server
