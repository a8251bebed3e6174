// SPDX-License-Identifier: Apache-2.0
// SimSqlite: makes SQLite's default VFS that of the simulated machine whose thread runs, so that
// the server's own code and stock SQLite both find that machine's files, locks and clock.
//
// One at a time. Threading: confined to the simulation's thread.
#pragma once

#include <functional>

#include "sqlite/env_vfs.h"

namespace understudy::sim {

class SimSqlite {
 public:
  // Never null while a simulated thread uses SQLite.
  using Current = std::function<sqlite::EnvVfs*()>;
  explicit SimSqlite(Current current);
  ~SimSqlite();
  SimSqlite(const SimSqlite&) = delete;
  SimSqlite& operator=(const SimSqlite&) = delete;
};

}  // namespace understudy::sim
